"""Figure of the coverage: every group's records against what independence would give."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from heml.report.drawing.encoding import Encoder, small_png
from heml.report.drawing.heading import add_heading
from heml.report.drawing.style import CONFLICTING, INK, MUTED, PAPER, WIDTH, ink_on, new_figure
from heml.storage.store import Store

#: More combinations of attribute values than this are cut off, fewest records first.
MOST_COLUMNS = 12
#: Halved or doubled this many times, a group has the full color.
FULL = 3
_RATIOS = LinearSegmentedColormap.from_list("ratios", ["#c04a00", PAPER, "#0072b2"])


def coverage_figure(
    store: Store, encode: Encoder = small_png, width: float = WIDTH
) -> bytes | None:
    """All groups as a heat map: labels in rows, combinations of attribute values in columns.

    Parameters
    ----------
    store : Store
    encode : callable, default small_png
    width : float, default WIDTH

    Returns
    -------
    bytes or None
        A PNG, unless `encode` makes something else; None if there are too many columns for the
        width.
    """
    groups = pd.read_parquet(store.coverage)
    groups["column"] = [" ·\n".join(values) for values in groups["attributes"]]
    columns = groups.groupby("column", sort=False)["n"].sum()
    shown = columns.sort_values(ascending=False, kind="stable").index[:MOST_COLUMNS]
    names = [column for column in columns.index if column in set(shown)]
    left = len(columns) - len(names)
    labels = list(dict.fromkeys(groups["label"]))
    if len(names) > MOST_COLUMNS * width / WIDTH:
        return None
    small = len(names) > (4 if width == WIDTH else 2)
    with new_figure(0.62 * max(len(labels), 1) + 1.75, width=width) as figure:
        add_heading(
            figure,
            "Train records of every group",
            "In each group: records, and in brackets how many times the number that "
            "independence of "
            "label and attribute would give (95% interval). Blue: more, orange: fewer; hatched: no "
            "record at all." + (f" {left} rarer columns are left out." if left else ""),
        )
        axes = figure.subplots()
        for row in groups[groups["column"].isin(names)].itertuples():
            x, y = names.index(str(row.column)), labels.index(str(row.label))
            _group(axes, x, y, row, small)
        axes.set_xlim(0, max(len(names), 1))
        axes.set_ylim(max(len(labels), 1), 0)
        axes.set_xticks(np.arange(len(names)) + 0.5, names)
        axes.set_yticks(np.arange(len(labels)) + 0.5, labels)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return encode(figure)


def _group(axes, x: int, y: int, row, small: bool) -> None:  # type: ignore[no-untyped-def]
    ratio = row.representation_ratio
    strength = 0.0 if pd.isna(ratio) else np.clip(np.log2(max(ratio, 1e-9)) / FULL, -1, 1)
    color = _RATIOS((strength + 1) / 2)
    empty = row.n == 0
    axes.add_patch(
        Rectangle(
            (x + 0.02, y + 0.04), 0.96, 0.92, facecolor=PAPER if empty else color,
            edgecolor=CONFLICTING if empty else MUTED, linewidth=1.4 if empty else 0.4,
            hatch="////" if empty else None,
        )
    )  # fmt: skip
    ink = INK if empty else ink_on(color)
    text = f"{row.n}" if pd.isna(ratio) else f"{row.n}  ({ratio:.2f})"
    interval = "" if pd.isna(ratio) or small else (
        f"{row.representation_ratio_low:.2f} to {row.representation_ratio_high:.2f}"
    )  # fmt: skip
    box = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5} if empty else None
    axes.text(x + 0.5, y + (0.38 if interval else 0.5), text, ha="center", va="center",
              fontsize=9 if small else 11, color=ink, bbox=box)  # fmt: skip
    if interval:
        axes.text(x + 0.5, y + 0.68, interval, ha="center", va="center", fontsize=8.5, color=ink,
                  bbox=box)  # fmt: skip
