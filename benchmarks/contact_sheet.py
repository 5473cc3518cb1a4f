"""Host, donor and result side by side, for looking at many samples at once.

`python -m benchmarks.contact_sheet STORE OUT.png [--reason seam_hidden] [--operator transplant]
[--count 100] [--side 120] [--columns 4]` draws samples of a finished recombination stage, evenly
spread over the table: accepted ones, or those that a gate refused.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from PIL import Image, ImageDraw

from heml.images.images_table import ImageReader, decode_image
from heml.storage.store import Store


def main() -> None:
    """Draws the sheet."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contact_sheet", description=__doc__)
    parser.add_argument("store", type=Path, help="folder of one recipe's results")
    parser.add_argument("out", type=Path)
    parser.add_argument("--reason", default="", help="gate that refused; default: accepted ones")
    parser.add_argument("--operator")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--side", type=int, default=120, help="pixels of every picture")
    parser.add_argument("--columns", type=int, default=4)
    arguments = parser.parse_args()
    store = Store(arguments.store)
    rows = _rows(store, arguments.reason, arguments.operator, arguments.count)
    if not rows:
        raise SystemExit("no such samples: try another --reason or --operator")
    reader = ImageReader(store)
    groups = [_group(row, reader, arguments.side) for row in rows]
    width, height = groups[0].size
    lines = -(-len(groups) // arguments.columns)
    sheet = Image.new("RGB", (width * arguments.columns, height * lines), "white")
    for number, group in enumerate(groups):
        line, column = divmod(number, arguments.columns)
        sheet.paste(group, (column * width, line * height))
    sheet.save(arguments.out)
    print(f"{arguments.out}: {len(groups)} samples")


def _rows(store: Store, reason: str, operator: str | None, count: int) -> list[dict[str, Any]]:
    """Evenly spread samples; pictures are read for them alone."""
    table = ds.dataset(store.recombined_samples, format="parquet")
    wanted = ds.field("reason") == reason
    if operator is not None:
        wanted &= ds.field("operator") == operator
    ids = table.to_table(columns=["edit_id"], filter=wanted)["edit_id"].to_pylist()
    if not ids:
        return []
    places = np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int))
    chosen = [ids[place] for place in places]
    columns = [
        "operator",
        "nodes",
        "label",
        "attributes",
        "host_id",
        "donor_id",
        "image",
        "gate_seam",
    ]
    rows: list[dict[str, Any]] = table.to_table(
        columns=columns, filter=ds.field("edit_id").isin(chosen)
    ).to_pylist()
    return rows


def _group(row: dict[str, Any], reader: ImageReader, side: int) -> Image.Image:
    sources = reader.rows([row["host_id"], row["donor_id"]], ["image"])
    encoded = [source["image"]["bytes"] for source in sources] + [row["image"]["bytes"]]
    group = Image.new("RGB", (3 * side + 4, side + 14), "white")
    for place, data in enumerate(encoded):
        image = Image.fromarray(decode_image(data))
        image.thumbnail((side, side))
        group.paste(image, (place * side, 0))
    seam = "" if row["gate_seam"] is None else f" seam {row['gate_seam']:.2f}"
    words = f"{row['operator']} {', '.join(row['nodes'])} → {row['label']}, {row['attributes'][0]}"
    ImageDraw.Draw(group).text((2, side + 1), words + seam, fill="black")
    return group


if __name__ == "__main__":
    main()
