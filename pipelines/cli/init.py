"""`heml init`: a first recipe for a dataset, commented."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.exit_codes import refusing
from pipelines.cli.terminal import write_line


def init(
    given: Annotated[
        str,
        typer.Argument(
            metavar="PATH_OR_NAME",
            help="A folder, a metadata table (.csv, .jsonl, .parquet), a Parquet file with images, "
            "a URL, or owner/name on the Hugging Face Hub.",
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(help="Column of the label; has_<class> reads it off the masks."),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(help="Column that the label should not depend on; may be repeated."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the recipe. Default: from the path.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write. Default: <name>.yaml here.")
    ] = None,
    captioner: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FOLDER",
            help="Checkpoint that captions images (BLIP, GIT, ViT-GPT2), on the Hub or a folder: "
            "what captions name is drafted as words for images without masks.",
        ),
    ] = None,
) -> None:
    """Look at a dataset, say what was found, and write a commented recipe that runs.

    Chooses label, attributes and taxonomy, and says why. Only metadata is read, with --captioner
    also a few dozen images.
    """
    from heml.compute.checkpoints import CheckpointError
    from heml.sources.raw import SourceError
    from pipelines.recipe.draft.draft import draft_recipe
    from pipelines.recipe.model import RecipeError

    with refusing(SourceError, RecipeError, CheckpointError):
        draft_recipe(given, label, attribute, name, out, write_line, captioner)
