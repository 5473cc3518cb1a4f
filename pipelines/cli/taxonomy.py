"""`heml taxonomy`: list, show and propose taxonomies."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.exit_codes import refusing

if TYPE_CHECKING:
    from heml.taxonomy import Taxonomy

app = typer.Typer(no_args_is_help=True, help="List, show and propose taxonomies.")


@app.command("list")
def list_() -> None:
    """Names and sizes of the built-in taxonomies."""
    from heml.taxonomy import builtin, builtin_names

    print("\n".join(_line(builtin(name)) for name in builtin_names()))


@app.command()
def show(name: Annotated[str, typer.Argument(help="As `list` prints it.")]) -> None:
    """The tree of a built-in taxonomy, with its classes."""
    from heml.taxonomy import TaxonomyError, builtin
    from heml.taxonomy.tree_text import drawn

    with refusing(TaxonomyError):
        tree = builtin(name)
    print(drawn(tree))


@app.command()
def propose(
    folder: Annotated[
        Path, typer.Argument(metavar="STORE_FOLDER", help="Store of a recipe: store/<name>.")
    ],
    adjacency: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Weight of shared borders; the rest is agreement of the metrics."
        ),
    ] = 0.5,
    tolerance: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Branches this close to their parent in likeness are merged into it."
        ),
    ] = 0.05,
) -> None:
    """Propose a hierarchy from trained leaf metrics, as a fragment of a recipe to review.

    Joins leaves whose distances agree and whose segments touch. Start from a recipe whose tree is
    flat (tree: {image: [leaf, ...]}), run it, then propose.
    """
    from heml.tree.propose import recipe_fragment

    with refusing(ValueError, OSError):
        text = recipe_fragment(folder, adjacency, tolerance)
    print(text, end="")


@app.command()
def auto(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="Recipe file that says taxonomy: auto.")
    ],
    images: Annotated[
        int | None,
        typer.Option(min=1, max=500, help="Images to segment. Default: 24; 200 with masks."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write the file anew if it is there.")
    ] = False,
) -> None:
    """Write the tree of a recipe that says taxonomy: auto, for review, beside the recipe.

    Parts come below the whole that encloses them, and what touches is joined, as the segments of a
    few images show. `heml run` does this itself where the file is missing.
    """
    from heml.compute.checkpoints import CheckpointError
    from heml.segmentation.trial import NothingToTry
    from heml.sources.raw import SourceError
    from heml.storage.remote import StoreError
    from heml.taxonomy import TaxonomyError
    from heml.taxonomy.tree_text import drawn
    from pipelines.cli.exit_codes import refuse
    from pipelines.cli.terminal import write_line
    from pipelines.recipe.auto_taxonomy import AUTO, auto_file, write_auto_taxonomy
    from pipelines.recipe.model import RecipeError, load_recipe
    from pipelines.recipe.yaml_text import read_recipe_text

    errors = (RecipeError, SourceError, StoreError, TaxonomyError, CheckpointError, NothingToTry)
    with refusing(*errors):
        if read_recipe_text(recipe).content.get("taxonomy") != AUTO:
            raise refuse(f"{recipe}: its taxonomy is not auto; write taxonomy: auto")
        if write_auto_taxonomy(recipe, images, replace, write_line) is None:
            write_line(f"{auto_file(recipe)} is there already; --replace writes it anew")
        print(drawn(load_recipe(recipe).taxonomy))


def _line(taxonomy: "Taxonomy") -> str:
    return (
        f"{taxonomy.name:15} {len(taxonomy.class_names):4} classes {len(taxonomy.leaves):4} leaves "
        f"{len(taxonomy.tree):4} branches {len(taxonomy.levels):4} levels"
    )
