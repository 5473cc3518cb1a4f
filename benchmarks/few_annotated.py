"""Few annotated images of a real set: what pseudo-labels of the others add to them.

`python -m benchmarks.few_annotated --root DIR --set pets --work DIR [--part report] [--draws 2]
[--annotated 40] [--steps N] [--pixels N] [--arms ...] [--out FILE.md]` draws images that keep their
mask, and segments the others through the stages that a recipe runs: `annotated` fits on the drawn
ones alone, `pseudo_labels` also on what `unsupervised` finds in the others, `unsupervised` looks at
no mask. Compared with the masks of the images that were not drawn. Parts are those of
`benchmarks.unsupervised`.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.clock import clock
from benchmarks.tables import table
from benchmarks.unsupervised import BEHIND, RIM, binary_truth, in_part
from heml.compute.progress import Progress
from heml.segmentation.iou import IGNORED, confusion, mean_iou
from heml.segmentation.masks import iterate_masks
from heml.segmentation.segmenter_settings import SegmenterSettings
from heml.segmentation.segmenters.unsupervised import UnsupervisedSegmentation
from heml.segmentation.segments_stage import segment
from heml.segmentation.trained_settings import TrainedSegmentation
from heml.sources.ingest import ingest
from heml.sources.layouts.folder import FolderSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

_LEAVES = ["background", "object"]
_RIM_ID = 2
_TAXONOMY = Taxonomy(
    "object",
    {"object": ("object",), "background": ("background",)},
    {"image": ("object", "background")},
    ignored=("rim",),
)
_ARMS = ("annotated", "pseudo_labels", "unsupervised")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.few_annotated", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of the set")
    parser.add_argument("--set", choices=sorted(BEHIND), required=True)
    parser.add_argument("--part", choices=["tune", "report"], default="report")
    parser.add_argument("--most", type=int, help="images; default: all of the part")
    parser.add_argument("--annotated", type=int, default=40, help="images that keep their mask")
    parser.add_argument("--draws", type=int, default=2, help="of the annotated images")
    parser.add_argument("--steps", type=int, help="default: the recipe's")
    parser.add_argument("--pixels", type=int, help="default: the recipe's")
    parser.add_argument("--least-agreement", type=float, help="default: the recipe's")
    parser.add_argument("--arms", nargs="+", choices=_ARMS, default=_ARMS)
    parser.add_argument("--work", type=Path, required=True, help="new folder of copies and store")
    parser.add_argument("--out", type=Path, help="Markdown file")
    arguments = parser.parse_args()
    lines = []
    header = ["draw", "arm", "images", "IoU object", "IoU background", "mean (95%)", "minutes"]
    header += ["agreement", "pseudo-labeled", "held out (95%)"]
    for line in _measure(arguments, lambda line: print(line, flush=True)):
        lines.append(line)
        text = table(header, lines)
        print(f"\n{text}\n", flush=True)
        if arguments.out:
            arguments.out.write_text(f"## {arguments.set}, part {arguments.part}\n\n{text}\n")


def _measure(arguments: argparse.Namespace, progress: Progress) -> Iterator[list[str]]:
    behind = next(iter(BEHIND[arguments.set].values()))
    lut = binary_truth(arguments.root, behind, RIM.get(arguments.set))
    data, store = arguments.work / "data", Store(arguments.work / "store")
    with open(arguments.root / "metadata.csv", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if row["mask_name"] and in_part(row["file_name"], arguments.part)
        ][: arguments.most]
    truths = {}
    for row in rows:
        target = data / row["file_name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(arguments.root / row["file_name"], target)
        truth = lut[np.asarray(Image.open(arguments.root / row["mask_name"]))]
        truths[PurePosixPath(row["file_name"]).with_suffix("").as_posix()] = truth
        mask = (data / row["mask_name"]).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(truth == IGNORED, _RIM_ID, truth).astype(np.uint8)).save(mask)
    names = {str(i): name for i, name in enumerate([*_LEAVES, "rim"])}
    (data / "classes.json").write_text(json.dumps(names))
    for draw in range(arguments.draws):
        drawn = np.random.default_rng(draw).choice(len(rows), arguments.annotated, replace=False)
        annotated = {rows[place]["file_name"] for place in drawn}
        _write_metadata(data, rows, annotated)
        source = FolderSource(kind="folder", root=str(data), label="label", attributes=[])
        ingest(store, source, data, _TAXONOMY, False, progress)
        known = {PurePosixPath(name).with_suffix("").as_posix() for name in annotated}
        for arm in arguments.arms:
            with clock() as took:
                run = RunContext(store, _TAXONOMY, progress=progress)
                summary = segment(run, _settings(arm, arguments)).summary
            yield [str(draw), arm, *_score(store, truths, known), f"{took.cpu / 60:.1f}"] + [
                *_said(summary)
            ]


def _settings(arm: str, arguments: argparse.Namespace) -> SegmenterSettings:
    if arm == "unsupervised":
        return UnsupervisedSegmentation(kind="unsupervised")
    content: dict[str, Any] = {
        "kind": "trained",
        **{
            name: value
            for name in ("steps", "pixels", "least_agreement")
            if (value := getattr(arguments, name)) is not None
        },
    }
    if arm == "pseudo_labels":
        content["pseudo_labels"] = {"kind": "unsupervised"}
    return TrainedSegmentation.model_validate(content)


def _score(store: Store, truths: dict[str, np.ndarray], known: set[str]) -> list[str]:
    """IoU at full size, of images whose mask was not given."""
    matrices = []
    for image_id, masks in iterate_masks(store):
        if image_id not in known:
            predicted = np.zeros(truths[image_id].shape, np.uint8)
            if "object" in masks:
                predicted[masks["object"]] = 1
            matrices.append(confusion(truths[image_id], predicted, 2))
    found = mean_iou(np.stack(matrices), _LEAVES, seed=0)
    return [
        str(found.images),
        f"{found.by_class['object'] or 0:.3f}",
        f"{found.by_class['background'] or 0:.3f}",
        f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})",
    ]


def _said(summary: dict[str, Any]) -> list[str]:
    """What the stage itself says: agreement, pseudo-labels, IoU of held-out images."""
    agreement = summary.get("pseudo_label_agreement")
    labeled = summary.get("pseudo_labeled_images")
    held_out = (
        ""
        if "mean_iou" not in summary
        else (
            f"{summary['mean_iou']:.3f} ({summary['mean_iou_low']:.3f} to "
            f"{summary['mean_iou_high']:.3f}), n = {summary['held_out_images']}"
        )
    )
    return [
        "" if agreement is None else f"{agreement:.3f}",
        "" if labeled is None else str(labeled),
        held_out,
    ]


def _write_metadata(data: Path, rows: list[dict[str, str]], annotated: set[str]) -> None:
    lines = ["file_name,mask_name,split,label"]
    for number, row in enumerate(rows):
        mask = PurePosixPath(row["mask_name"]).with_suffix(".png").as_posix()
        mask = mask if row["file_name"] in annotated else ""
        # A source wants two labels; nothing here looks at them.
        lines.append(f"{row['file_name']},{mask},train,{'odd' if number % 2 else 'even'}")
    (data / "metadata.csv").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
