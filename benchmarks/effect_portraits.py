"""Drawn portraits as tasks: a bias planted in the hair, and an unbiased set to compare with."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from heml.sources.layouts.portraits import PortraitsSource as PortraitsSettings
from heml.sources.portraits_source import PortraitsReader
from heml.storage.atomic_write import write_aside

LABEL, ATTRIBUTE = "mouth", "hair_tone"
#: Train portraits of a split, and as many unbiased ones; test portraits.
TRAIN, TEST = 700, 300
ASSOCIATION = 0.97


def portrait_tables(work: Path, splits: int, quick: bool) -> tuple[Path, list[Path]]:
    """Draws the tasks, unless they are drawn already.

    Returns
    -------
    pathlib.Path
        The folder that file names start from.
    list of pathlib.Path
        One table per split.
    """
    root = work / ("portraits-quick" if quick else "portraits")
    if not root.is_dir():
        with write_aside(root) as folder:
            for split in range(splits):
                _draw(folder, split, *((160, 80) if quick else (TRAIN, TEST)))
    tables = sorted(root.glob("portraits-*.csv"))[:splits]
    if len(tables) < splits:
        raise ValueError(f"{root} has {len(tables)} splits: remove it to have more drawn")
    return root, tables


def _draw(folder: Path, split: int, train: int, test: int) -> None:
    rows = []
    # Numbers of portraits give their looks: seeds that share none make splits that share none.
    biased, unbiased = (
        PortraitsReader(
            PortraitsSettings(
                kind="portraits",
                label=LABEL,
                attributes=[ATTRIBUTE],
                count=train + test,
                test_share=test / (train + test),
                association=association,
                seed=2 * split + number,
            )
        )
        for number, association in enumerate((ASSOCIATION, 0.5))
    )
    for kind, source in (("biased", biased), ("unbiased", unbiased)):
        for record in source.records():
            if kind == "unbiased" and record.split != "train":
                continue
            assert record.image is not None
            assert record.mask is not None
            names = [f"{part}/{split}-{kind}-{record.file_name}" for part in ("images", "masks")]
            for name, content in zip(names, (record.image, record.mask), strict=True):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            where = "oracle" if kind == "unbiased" else record.split
            rows.append([*names, where, record.columns[LABEL], record.columns[ATTRIBUTE]])
    classes = {str(number): name for number, name in biased.classes().items()}
    (folder / "classes.json").write_text(json.dumps(classes))
    with (folder / f"portraits-{split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "mask_name", "split", LABEL, ATTRIBUTE])
        writer.writerows(rows)
