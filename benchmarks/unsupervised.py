"""Object and background without masks on a real set: IoU, images per second, overlays.

`python -m benchmarks.unsupervised --root DIR --set pets --work DIR [--part report] [--out FILE.md]
[--overlays FILE.png]` segments images through the stages that a recipe runs, and compares with
the masks, which nothing else looks at. A hash of its file name says which third an image is in:
settings were chosen on the first (`--part tune`), figures are of the other two (`--part report`).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow.parquet as pq
from PIL import Image
from scipy.stats import spearmanr

from benchmarks.clock import clock
from benchmarks.segmentation import _draw, _peak_mib
from benchmarks.tables import table
from heml.compute.progress import Progress
from heml.compute.threads import processors
from heml.segmentation.iou import IGNORED, confusion, iou, mean_iou
from heml.segmentation.masks import iterate_masks
from heml.segmentation.segmenters.unsupervised import UnsupervisedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.folder import FolderSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

_TAXONOMY = Taxonomy(
    "object",
    {"object": ("object",), "background": ("background",)},
    {"image": ("object", "background")},
)
_NECK, _CLOTH = ("neck", "neck_l"), ("cloth",)
#: Set → what counts as the object → classes of the masks that do not. The first is the one that
#: settings were chosen on.
BEHIND: dict[str, dict[str, tuple[str, ...]]] = {
    "pets": {"pet": ("background",)},
    "ccp": {"person": ("background",)},
    "celebamask": {
        "head": ("background", *_NECK, *_CLOTH),
        "head and neck": ("background", *_CLOTH),
        "person": ("background",),
        "face": ("background", *_NECK, *_CLOTH, "hair", "hat", "ear_r"),
    },
}
#: Class whose pixels are of both sides.
RIM = {"pets": "border"}
_SETTINGS = UnsupervisedSegmentation(kind="unsupervised")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.unsupervised", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of the set")
    parser.add_argument("--set", choices=sorted(BEHIND), required=True)
    parser.add_argument("--part", choices=["tune", "report"], default="report")
    parser.add_argument("--most", type=int, help="images; default: all of the part")
    parser.add_argument("--work", type=Path, required=True, help="new folder of copies and store")
    parser.add_argument("--out", type=Path, help="Markdown file")
    parser.add_argument("--overlays", type=Path, help="PNG of sixty images beside their segments")
    arguments = parser.parse_args()
    text = ""
    for part in _measure(arguments, lambda line: print(line, flush=True)):
        print(f"\n{part}\n", flush=True)
        text += f"{part}\n\n"
    if arguments.out:
        arguments.out.write_text(text)


def in_part(file_name: str, part: str) -> bool:
    """Whether an image is in the third that settings were chosen on, or in the other two."""
    third = int(hashlib.sha256(file_name.encode()).hexdigest(), 16) % 3
    return (third == 0) == (part == "tune")


def _measure(arguments: argparse.Namespace, progress: Progress) -> Iterator[str]:
    rows = _rows(arguments)
    data, store = arguments.work / "data", Store(arguments.work / "store")
    _copy_images(rows, arguments.root, data)
    source = FolderSource(kind="folder", root=str(data), label="label", attributes=[])
    ingest(store, source, data, _TAXONOMY, False, progress)
    with clock() as took:
        summary = segment(RunContext(store, _TAXONOMY, progress=progress), _SETTINGS).summary
    count = summary["images"]
    yield (
        f"## {arguments.set}: {count} images, part {arguments.part}\n\n"
        f"Learned from {summary['fitted_images']} images and segmented {count} in "
        f"{took.wall / 60:.1f} min, {1000 * took.cpu / count:.0f} ms of processor time each "
        f"({count / took.cpu:.1f} images per second of one core); {processors()} processors, peak "
        f"{_peak_mib()} MiB. Share of images with each segment: "
        + ", ".join(f"{n} {v:.3f}" for n, v in summary["presence"].items())
        + f"; {summary['dropped']} segments doubted and dropped."
    )
    of_id = {_image_id(row["file_name"]): row for row in rows}
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in BEHIND[arguments.set]}
    for image_id, masks in iterate_masks(store):
        path = arguments.root / of_id[image_id]["mask_name"]
        annotated = np.asarray(Image.open(path))
        predicted = np.zeros(annotated.shape, np.uint8)
        if "object" in masks:
            predicted[masks["object"]] = 1
        for name, behind in BEHIND[arguments.set].items():
            lut = binary_truth(arguments.root, behind, RIM.get(arguments.set))
            found[name][image_id] = confusion(lut[annotated], predicted, 2)
    lines = []
    for name, by_image in found.items():
        matrices = np.stack(list(by_image.values()))
        result = mean_iou(matrices, ["background", "object"], seed=0)
        single = np.nanmean(iou(matrices).mean(1))
        own, behind = result.by_class["object"] or 0, result.by_class["background"] or 0
        lines.append(
            [
                name,
                f"{matrices[:, 1].sum() / matrices.sum():.2f}",
                f"{own:.3f}",
                f"{behind:.3f}",
                f"{result.value:.3f} ({result.low:.3f} to {result.high:.3f})",
                f"{single:.3f}",
            ]
        )
    yield _by_confidence(store, next(iter(found.values())))
    yield table(
        ["object", "its area", "IoU object", "IoU background", "mean (95%)", "mean by image"], lines
    )
    if arguments.overlays:
        shown = sorted(of_id)
        places = np.unique(np.linspace(0, len(shown) - 1, 60).round().astype(int))
        _draw(store, _TAXONOMY, [shown[place] for place in places], arguments.overlays)


def _by_confidence(store: Store, by_image: Mapping[str, np.ndarray]) -> str:
    """Whether images whose object is less sure are those that were segmented worse."""
    rows = pq.read_table(store.segments, columns=["image_id", "class_name", "confidence"])
    sure = {
        row["image_id"]: row["confidence"]
        for row in rows.to_pylist()
        if row["class_name"] == "object"
    }
    ids = sorted(sure, key=lambda image_id: sure[image_id])
    scores = np.array([np.nanmean(iou(by_image[image_id])) for image_id in ids])
    fifth = max(1, len(ids) // 5)
    rank = spearmanr(range(len(ids)), scores).statistic
    return (
        f"Confidence of the object and mean IoU of its image: rank correlation {rank:.2f}; the "
        f"least sure fifth of the images has {scores[:fifth].mean():.3f}, the surest "
        f"{scores[-fifth:].mean():.3f}."
    )


def _rows(arguments: argparse.Namespace) -> list[dict[str, str]]:
    with open(arguments.root / "metadata.csv", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["mask_name"] and (arguments.root / row["mask_name"]).is_file()
        ]
    return [r for r in rows if in_part(r["file_name"], arguments.part)][: arguments.most]


def _copy_images(rows: list[dict[str, str]], root: Path, data: Path) -> None:
    """Images alone: masks stay where they are."""
    data.mkdir(parents=True)
    lines = []
    for number, row in enumerate(rows):
        target = data / row["file_name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / row["file_name"], target)
        # A source wants two labels; nothing here looks at them.
        lines.append(f"{row['file_name']},train,{'odd' if number % 2 else 'even'}")
    (data / "metadata.csv").write_text("\n".join(["file_name,split,label", *lines]))


def binary_truth(root: Path, behind: tuple[str, ...], rim: str | None) -> np.ndarray:
    """Class id in a set's masks → 1 for the object, 0 for what is behind, `IGNORED` for the rim."""
    lut = np.full(256, IGNORED, np.uint8)
    for number, name in json.loads((root / "classes.json").read_text()).items():
        if name != rim:
            lut[int(number)] = name not in behind
    return lut


def _image_id(file_name: str) -> str:
    return PurePosixPath(file_name).with_suffix("").as_posix()


if __name__ == "__main__":
    main()
