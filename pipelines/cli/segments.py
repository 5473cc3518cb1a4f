"""`heml segments`: look at what a recipe's segmenter finds before anything long starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.exit_codes import refuse, refusing
from pipelines.cli.terminal import write_line

if TYPE_CHECKING:
    from heml.segmentation.contact_sheet import LeafSummary
    from heml.segmentation.trial import TriedImage

app = typer.Typer(no_args_is_help=True, help="Look at what a recipe's segmenter finds.")

#: Where the picture lies in the recipe's store, if no other place is named.
SHEET = "segments_try.png"
#: Images in the table; the picture has all.
_SHOWN = 12


@app.command("try")
def try_(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")],
    images: Annotated[int, typer.Option(min=1, max=200, help="Images to segment.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the images.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help=f"Picture to write. Default: {SHEET} in the store."),
    ] = None,
) -> None:
    """Segment a few images and show them: a picture with a legend, and a table.

    The images are chosen by the seed. What `heml run` made stays as it is: nothing of the store is
    changed but the picture. A `trained` segmenter is shown once `heml run` has fitted it; an
    `annotated` one shows the masks. Striped segments in the picture are doubted. Where segments
    are found, the most doubtful images come first: those whose segments are unsure, or change
    when the image is mirrored, shifted or enlarged a little (stability: mean IoU).
    """
    import tempfile

    from heml.compute.checkpoints import CheckpointError
    from heml.segmentation.contact_sheet import contact_sheet, summarize
    from heml.segmentation.segmenter import NotFitted
    from heml.segmentation.trial import NothingToTry, try_segmenter
    from heml.sources.layout import open_source
    from heml.sources.raw import SourceError
    from heml.sources.sample import sample
    from heml.storage.atomic_write import write_aside
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store
    from heml.taxonomy import TaxonomyError
    from pipelines.cli.tables import text_table
    from pipelines.recipe.model import RecipeError, load_recipe

    if out is not None and out.suffix.lower() != ".png":
        raise refuse(f"--out: {out} is no .png file; name one")
    with refusing(RecipeError, StoreError, SourceError, TaxonomyError, CheckpointError,
                  NotFitted, NothingToTry):  # fmt: skip
        loaded = load_recipe(recipe)
        store = open_store(loaded.name)
        if loaded.data_is_missing:
            raise SourceError(f"{loaded.path}: source.root: no such folder: {loaded.data}")
        source = open_source(loaded.source, loaded.folder)
        source.check(loaded.segmenter.needs_masks)
        write_line(f"{loaded.name}: segmentation {loaded.segmenter.name}")
        chosen = sample(source, images, seed, masked=loaded.segmenter.needs_masks)
        among = "all" if chosen.whole else "the first"
        write_line(f"{len(chosen.records)} images chosen of {among} {chosen.among} rows")
        with tempfile.TemporaryDirectory(prefix="heml-try-") as scratch:
            trial = try_segmenter(
                chosen.records,
                source.classes(),
                loaded.settings.segmentation,
                loaded.source_taxonomy,
                loaded.folder,
                store,
                Path(scratch) / loaded.name,
                source.limits.max_pixels,
                write_line,
            )
    for line in trial.refused:
        write_line(f"not used: {line}")
    summaries = summarize(trial)
    for line in text_table(*_leaves(summaries)):
        write_line(line)
    if any(image.stability for image in trial.images):
        write_line("")
        for line in text_table(*_doubtful(trial.images[:_SHOWN])):
            write_line(line)
        write_line("")
    for line in trial.noticed:
        write_line(f"note: {line}")
    never = [summary.name for summary in summaries if not summary.share]
    if never:
        write_line(f"note: found in none of these images: {', '.join(never)}")
    path = (out or store.root / SHEET).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with refusing(OSError), write_aside(path) as aside:
        contact_sheet(trial, f"{loaded.name}: {loaded.segmenter.name}").save(aside, "PNG")
    write_line(f"wrote {path}")


def _leaves(summaries: "list[LeafSummary]") -> tuple[list[str], list[list[str]]]:
    """The table of leaves; dashes where a leaf is in no image."""
    header = ["leaf", "images", "mean area", "confidence", "doubted"]
    rows = [
        [
            summary.name,
            f"{summary.share:.0%}",
            "–" if summary.area is None else f"{summary.area:.1%}",
            _number(summary.confidence),
            str(summary.doubted),
        ]
        for summary in summaries
    ]
    measured = {
        "stability": [summary.stability for summary in summaries],
        "words agree": [summary.word_agreement for summary in summaries],
    }
    for name, values in measured.items():
        if any(value is not None for value in values):
            header.append(name)
            for row, value in zip(rows, values, strict=True):
                row.append(_number(value))
    return header, rows


def _doubtful(images: "list[TriedImage]") -> tuple[list[str], list[list[str]]]:
    """The table of images: of each its least sure and its least stable segment."""
    rows = [[image.image_id, _least(image.confidence), _least(image.stability)] for image in images]
    return ["most doubtful first", "least confidence", "least stability"], rows


def _least(values: dict[str, float]) -> str:
    if not values:
        return "–"
    name = min(values, key=lambda each: values[each])
    return f"{values[name]:.2f} {name}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


@app.command()
def export(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to write; must not exist.")],
    kind: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="coco, label_studio or cvat.")
    ] = "coco",
    images: Annotated[int, typer.Option(min=1, help="Images, chosen by the seed.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the images.")] = 0,
    doubted: Annotated[
        bool, typer.Option("--doubted", help="Images with the least sure segments first.")
    ] = False,
) -> None:
    """Write images with their segments for an annotation tool, to correct them there.

    The background is left out: what no segment covers is background again when it comes back.
    """
    from heml.parts.registry import RegistryError
    from heml.segmentation.exchange.form import FORMS
    from heml.segmentation.exchange.packing import pack
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store
    from pipelines.recipe.model import RecipeError, load_recipe

    if to.exists():
        raise refuse(f"--to: {to} already exists; name another folder")
    with refusing(RecipeError, StoreError, RegistryError, FileNotFoundError):
        form = FORMS[kind]
        loaded = load_recipe(recipe)
        store = open_store(loaded.name)
        store.pull()
        count, path = pack(store, loaded.taxonomy, form, to, images, seed, doubted)
    write_line(f"{count} images; {form.description}")
    write_line(f"wrote {path}")


@app.command()
def correct(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe file.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What the tool exported.")],
    kind: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Default: by the file's beginning."),
    ] = None,
) -> None:
    """Take corrected segments from an annotation tool's file (COCO, Label Studio, CVAT).

    They are added to RECIPE's file of corrections, beside it. Whole images are corrected: what a
    tool has of an image replaces what was found.
    """
    from heml.parts.registry import RegistryError
    from heml.segmentation.corrections import write_corrections
    from heml.segmentation.exchange.form import FormError, form_of
    from heml.segmentation.exchange.packing import known_images
    from heml.storage.remote import StoreError
    from heml.storage.store import open_store
    from pipelines.recipe.model import RecipeError, load_recipe

    with refusing(RecipeError, StoreError, RegistryError, FormError, FileNotFoundError):
        loaded = load_recipe(recipe)
        store = open_store(loaded.name)
        store.pull()
        given = loaded.settings.segmentation.corrections
        path = loaded.folder / (given or f"{loaded.path.stem}.corrections.parquet")
        form = form_of(file, kind)
        names, sizes = known_images(store)
        leaves = loaded.taxonomy.class_names
        done, refused = write_corrections(path, form.read(file), names, sizes, leaves, form.name)
    for line in refused[:10]:
        write_line(f"not used: {line}")
    if len(refused) > 10:
        write_line(f"not used: {len(refused) - 10} more images")
    write_line(f"{done} images corrected, {form.name}; wrote {path}")
    if given is None:
        write_line(f"next: add corrections: {path.name} to segmentation in {recipe}")
