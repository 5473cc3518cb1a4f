"""`python -m benchmarks.tinted_sets cells|scanner`: sets whose attribute tints the whole image.

`cells OUT` draws blood cells before a smear: the label is whether the nucleus is round or lobed,
the attribute is the stain, which colors everything. `scanner ROOT LABEL OUT` copies a set with a
color cast and a tone curve of one of two scanners, chosen by a hash of the file name. Both write
images, masks, `classes.json` and `metadata.csv`, for `benchmarks.draw_tasks`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

SIDE = 128
#: Stain → mean RGB of the smear, of other cells, of the cell and of its nucleus.
STAINS = {
    "purple": ((232, 222, 226), (214, 150, 160), (198, 176, 214), (112, 50, 130)),
    "blue": ((214, 226, 232), (186, 160, 176), (164, 186, 216), (62, 70, 140)),
}
#: Scanner → exponent of its tone curve, and its color cast.
SCANNERS = {"warm": (0.85, (1.0, 0.93, 0.82)), "cool": (1.12, (0.86, 0.95, 1.0))}
_ROWS, _COLUMNS = np.mgrid[:SIDE, :SIDE]


def draw_cell(rng: np.random.Generator, nucleus: str, stain: str) -> tuple[np.ndarray, np.ndarray]:
    """A cell before a smear.

    Returns
    -------
    image : uint8 array (SIDE, SIDE, 3)
    mask : uint8 array (SIDE, SIDE)
        0 smear, 1 cytoplasm, 2 nucleus.
    """
    smear, others, cytoplasm, core = (np.array(color, float) for color in STAINS[stain])
    image = np.ones((SIDE, SIDE, 3)) * _varied(rng, smear, 4)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(rng.integers(4, 10)):
        place, radius = rng.uniform(0, SIDE, 2), rng.uniform(11, 15)
        disc = _blob(rng, place, radius, 0.06)
        image[disc] = _varied(rng, others, 6)
        image[disc & (np.hypot(_ROWS - place[0], _COLUMNS - place[1]) < 0.4 * radius)] += 14
    center, radius = rng.uniform(50, 78, 2), rng.uniform(24, 33)
    cell = _blob(rng, center, radius, 0.12)
    image[cell], mask[cell] = _varied(rng, cytoplasm, 6), 1
    if nucleus == "round":
        inner = _blob(rng, center + rng.uniform(-4, 4, 2), radius * rng.uniform(0.55, 0.68), 0.12)
    else:
        start, inner = rng.uniform(0, 2 * np.pi), np.zeros_like(cell)
        for lobe in range(rng.integers(3, 5)):
            angle = start + lobe * rng.uniform(1.0, 1.4)
            place = center + 0.42 * radius * np.array([np.sin(angle), np.cos(angle)])
            inner |= _blob(rng, place, radius * rng.uniform(0.25, 0.32), 0.08)
    inner &= cell
    image[inner], mask[inner] = _varied(rng, core, 7), 2
    texture = gaussian_filter(rng.normal(0, 1, mask.shape), 1.5)
    texture *= np.choose(mask, [2, 5, 10]) / texture.std()
    image = gaussian_filter(image + texture[..., None], (0.9, 0.9, 0))
    image = (image + rng.normal(0, 3, image.shape)) * (1 + 0.05 * rng.normal())
    return image.clip(0, 255).astype(np.uint8), mask


def _varied(rng: np.random.Generator, color: np.ndarray, by: float) -> np.ndarray:
    return color + rng.normal(0, by, 3)


def _blob(rng: np.random.Generator, center: np.ndarray, radius: float, uneven: float) -> np.ndarray:
    """A disc whose outline wobbles, bool (SIDE, SIDE)."""
    down, right = _ROWS - center[0], _COLUMNS - center[1]
    angle = np.arctan2(down, right)
    wobble = sum(
        uneven / k * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) * rng.normal()
        for k in (2, 3, 4, 5)
    )
    inside: np.ndarray = np.hypot(down, right) < radius * (1 + 0.6 * wobble)
    return inside


def write_cells(out: Path, count: int, seed: int) -> None:
    """Writes a set of drawn cells, label and attribute independent."""
    rng = np.random.default_rng(seed)
    rows = []
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        nucleus, stain = rng.choice(["round", "lobed"]), rng.choice(list(STAINS))
        image, mask = draw_cell(rng, str(nucleus), str(stain))
        names = f"images/{number:04d}.png", f"masks/{number:04d}.png"
        for name, pixels in zip(names, (image, mask), strict=True):
            Image.fromarray(pixels).save(out / name)
        rows.append((*names, nucleus, stain))
    columns = ["file_name", "mask_name", "nucleus", "stain"]
    pd.DataFrame(rows, columns=columns).to_csv(out / "metadata.csv", index=False)
    classes = {0: "background", 1: "cytoplasm", 2: "nucleus"}
    (out / "classes.json").write_text(json.dumps(classes))


def write_scanned(root: Path, label: str, out: Path) -> None:
    """Writes the annotated images of a set as two scanners would have seen them."""
    frame = pd.read_csv(root / "metadata.csv", dtype=str, keep_default_na=False)
    frame = frame[(frame[label] != "") & (frame["mask_name"] != "")]
    rows = []
    for name, mask, value in frame[["file_name", "mask_name", label]].itertuples(index=False):
        digest = hashlib.sha256(name.encode()).digest()[-1]
        scanner = list(SCANNERS)[digest % 2]
        exponent, cast = SCANNERS[scanner]
        pixels = np.asarray(Image.open(root / name).convert("RGB")) / 255
        seen = (pixels**exponent * np.array(cast)).clip(0, 1)
        scanned = f"images/{Path(name).stem}.png"
        for written in (scanned, mask):
            (out / written).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((seen * 255 + 0.5).astype(np.uint8)).save(out / scanned)
        shutil.copyfile(root / mask, out / mask)
        rows.append((scanned, mask, value, scanner))
    columns = ["file_name", "mask_name", label, "scanner"]
    pd.DataFrame(rows, columns=columns).to_csv(out / "metadata.csv", index=False)
    shutil.copyfile(root / "classes.json", out / "classes.json")


def main() -> None:
    """Writes one set."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tinted_sets", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    cells = kinds.add_parser("cells")
    cells.add_argument("out", type=Path)
    cells.add_argument("--count", type=int, default=1000)
    cells.add_argument("--seed", type=int, default=5)
    scanner = kinds.add_parser("scanner")
    scanner.add_argument("root", type=Path)
    scanner.add_argument("label")
    scanner.add_argument("out", type=Path)
    options = parser.parse_args()
    if options.kind == "cells":
        write_cells(options.out, options.count, options.seed)
    else:
        write_scanned(options.root, options.label, options.out)


if __name__ == "__main__":
    main()
