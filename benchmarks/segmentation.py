"""The trained segmenter on a real set: IoU by class, time to fit, images per second.

`python -m benchmarks.segmentation --root DIR --set ccp [--fit 700] [--held-out 150] [--rest N]
[--steps N] --work DIR [--out FILE.md] [--overlays FILE.png]` fits a segmenter from a configuration
on some annotated images, measures it on others, then segments images without masks, all through
the stages that a recipe runs. The folder has `metadata.csv`, `classes.json`, `images/`, `masks/`.
"""

from __future__ import annotations

import argparse
import csv
import resource
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.clock import Took, clock
from benchmarks.tables import table
from heml.compute.progress import Progress
from heml.compute.threads import processors
from heml.report.drawing.thumbnails import overlaid, side_by_side
from heml.report.figures.store_images import StoreImages
from heml.segmentation.segments_stage import segment
from heml.segmentation.trained_settings import TrainedSegmentation
from heml.segmentation.training_images import is_held_out
from heml.sources.ingest import ingest
from heml.sources.layouts.folder import FolderSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy
from heml.taxonomy.builtin import builtin

#: Leaf → leaves of the built-in taxonomy of the same name; what is not named is ignored.
_LEAVES = {
    "ccp": {
        "background": ["background"],
        "hair": ["hair"],
        "skin": ["skin"],
        "upper_clothes": ["upper_clothes", "outerwear"],
        "lower_clothes": ["lower_clothes", "legwear"],
        "dress": ["dress"],
        "shoes": ["shoes"],
        "bag": ["bag"],
    },
    "celebamask_hq": {
        **{part: [part] for part in ("hair", "skin", "brows", "eyes", "nose", "mouth")},
        **{part: [part] for part in ("ears", "neck", "clothes", "background")},
    },
}
#: Leaves whose mean IoU is reported beside that of all.
_PARTS = {
    "ccp": list(_LEAVES["ccp"]),
    "celebamask_hq": ["hair", "skin", "brows", "eyes", "nose", "mouth", "ears", "neck"],
}


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of the set")
    parser.add_argument("--set", choices=sorted(_LEAVES), required=True, help="its taxonomy")
    parser.add_argument("--fit", type=int, default=700, help="annotated images to fit on")
    parser.add_argument("--held-out", type=int, default=150, help="annotated images to measure on")
    parser.add_argument("--rest", type=int, help="images without masks; default: all there are")
    parser.add_argument("--steps", type=int, help="default: the recipe's")
    parser.add_argument("--pixels", type=int, help="default: the recipe's")
    parser.add_argument("--batch-size", type=int, help="default: the recipe's")
    parser.add_argument("--learning-rate", type=float, help="default: the recipe's")
    parser.add_argument("--work", type=Path, required=True, help="new folder of copies and store")
    parser.add_argument("--out", type=Path, help="Markdown file")
    parser.add_argument("--overlays", type=Path, help="PNG of images without masks")
    arguments = parser.parse_args()
    changed = {
        name: getattr(arguments, name)
        for name in ("steps", "pixels", "batch_size", "learning_rate")
        if getattr(arguments, name) is not None
    }
    share = arguments.held_out / (arguments.fit + arguments.held_out)
    settings = TrainedSegmentation(kind="trained", validation_share=share, **changed)
    text = ""
    for line in _measure(arguments, settings, lambda line: print(line, flush=True)):
        print(f"\n{line}\n", flush=True)
        text += f"{line}\n\n"
        if arguments.out:
            arguments.out.write_text(text)


def _measure(
    arguments: argparse.Namespace, settings: TrainedSegmentation, progress: Progress
) -> Iterable[str]:
    taxonomy = _taxonomy(arguments.set)
    data, store = arguments.work / "data", Store(arguments.work / "store")
    annotated, rest = _chosen(arguments, settings)
    for folder in ("images", "masks"):
        shutil.copytree(arguments.root / folder, data / folder)
    shutil.copy(arguments.root / "classes.json", data)

    def run(rows: list[dict[str, str]]) -> tuple[Took, dict[str, Any]]:
        _write_metadata(data / "metadata.csv", rows)
        source = FolderSource(kind="folder", root=str(data), label="label", attributes=[])
        ingest(store, source, data, taxonomy, False, progress)
        with clock() as took:
            summary = segment(RunContext(store, taxonomy, progress=progress), settings).summary
        return took, summary

    took, summary = run(annotated)
    iou = summary["iou"]
    parts = np.mean([iou[part] or 0 for part in _PARTS[arguments.set]])
    yield (
        f"## {arguments.set}: fitted on {summary['fitted_images']}, held out "
        f"{summary['held_out_images']}\n\n{settings.size}, {summary['fitted_steps']} steps, "
        f"{settings.pixels} pixels, batches of {settings.batch_size}, {processors()} threads. "
        f"Fitting, measuring and writing took {took.wall / 60:.1f} min, "
        f"{took.cpu / 60:.1f} min of processor time; peak {_peak_mib()} MiB."
    )
    yield (
        f"Mean IoU of all {len(iou)} leaves {summary['mean_iou']:.3f} "
        f"({summary['mean_iou_low']:.3f} to {summary['mean_iou_high']:.3f}); "
        f"of {', '.join(_PARTS[arguments.set])}: {parts:.3f}."
    )
    yield table(["leaf", "IoU"], [[name, f"{value or 0:.3f}"] for name, value in iou.items()])
    if rest:
        took, summary = run([*annotated, *rest])
        count = summary["segmented"]
        yield (
            f"{count} images without masks ({len(rest) - count} refused at ingest): "
            f"{count / took.wall:.1f} images per second, {1000 * took.cpu / count:.0f} ms of "
            f"processor time each, reading included; of all images {summary['dropped']} of "
            f"{summary['dropped'] + summary['segments']} segments doubted and dropped."
        )
    if arguments.overlays:
        shown = [_image_id(row["file_name"]) for row in rest or annotated]
        places = np.unique(np.linspace(0, len(shown) - 1, 40).round().astype(int))
        _draw(store, taxonomy, [shown[place] for place in places], arguments.overlays)


def _taxonomy(name: str) -> Taxonomy:
    own = builtin(name)
    leaves = {
        leaf: tuple(c for o in of for c in own.leaves[o]) for leaf, of in _LEAVES[name].items()
    }
    named = {c for classes in leaves.values() for c in classes}
    ignored = tuple(c for classes in own.leaves.values() for c in classes if c not in named)
    return Taxonomy(name, leaves, {"image": tuple(leaves)}, (*own.ignored, *ignored))


def _chosen(
    arguments: argparse.Namespace, settings: TrainedSegmentation
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Annotated rows, as many to fit on and held out as asked for, and rows without a mask."""
    with open(arguments.root / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    there = {row["file_name"]: (arguments.root / row["mask_name"]).is_file() for row in rows}
    kept: dict[bool, list[dict[str, str]]] = {False: [], True: []}
    rest = []
    for place in np.random.default_rng(0).permutation(len(rows)):
        name, mask = rows[place]["file_name"], rows[place]["mask_name"]
        if mask and there[name]:
            kept[is_held_out(_image_id(name), settings)].append(_row(name, mask, "train", place))
        else:
            rest.append(_row(name, "", "test", place))
    wanted = {False: arguments.fit, True: arguments.held_out}
    for held_out, count in wanted.items():
        if len(kept[held_out]) < count:
            raise SystemExit(f"{arguments.root}: {len(kept[held_out])} images, asked for {count}")
    annotated = kept[False][: arguments.fit] + kept[True][: arguments.held_out]
    return annotated, rest[: arguments.rest]


def _row(name: str, mask: str, split: str, place: int) -> dict[str, str]:
    """A source wants two labels; nothing here looks at them."""
    label = "odd" if place % 2 else "even"
    return {"file_name": name, "mask_name": mask, "split": split, "label": label}


def _image_id(file_name: str) -> str:
    return PurePosixPath(file_name).with_suffix("").as_posix()


def _write_metadata(path: Path, rows: list[dict[str, str]]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _draw(store: Store, taxonomy: Taxonomy, image_ids: list[str], path: Path) -> None:
    """Images beside their segments, tiled."""
    pictures = StoreImages(store)
    leaves = taxonomy.at_leaf_level()
    pairs = []
    for image_id in image_ids:
        image = pictures.image(image_id)
        pairs.append(
            side_by_side([image, overlaid(image, pictures.segments(image_id), leaves)], 220)
        )
    width, columns = max(pair.shape[1] for pair in pairs) + 8, 5
    sheet = Image.new("RGB", (columns * width, -(-len(pairs) // columns) * 228), "white")
    for number, pair in enumerate(pairs):
        sheet.paste(Image.fromarray(pair), (number % columns * width, number // columns * 228))
    sheet.save(path)


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
