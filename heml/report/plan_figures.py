"""Figures of the remedy: cells before and after, accepted samples, refused samples."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds

from heml.images import decode_image
from heml.report.choose import sample_examples
from heml.report.pictures import Pictures, fitted
from heml.report.style import (
    BLUE,
    GREY,
    INK,
    MUTED,
    ORANGE,
    Encoder,
    bare,
    new_figure,
    say,
    small_png,
)
from heml.report.words import DIRECTION_WORDS, OPERATOR_WORDS, REASON_WORDS, cell_of
from heml.store import Store

#: Cells and samples that a figure shows at most.
MOST_CELLS, MOST_SAMPLES = 24, 10


def accepted_per_cell(store: Store) -> Counter[tuple[str, ...]]:
    """Accepted samples by (label, group values)."""
    samples = ds.dataset(store.recombined_samples, format="parquet")
    table = samples.to_table(columns=["label", "groups"], filter=ds.field("accepted"))
    return Counter((row["label"], *row["groups"]) for row in table.to_pylist())


def plan_figure(store: Store, accepted: bool = False, encode: Encoder = small_png) -> bytes:
    """Train records of every cell before and after.

    Parameters
    ----------
    store : Store
    accepted : bool, default False
        False shows the samples that the plan wants; True those that were accepted, which needs
        the `recombined_samples` of this plan.
    encode : callable, default small_png

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    cells = pd.read_parquet(store.planned_cells)
    total = len(cells)
    cells = cells.sort_values("n_real", ascending=False, kind="stable").head(MOST_CELLS)
    added = cells["n_wanted"].to_numpy(int)
    if accepted:
        made = accepted_per_cell(store)
        added = np.array([made[row["label"], *row["groups"]] for row in cells.to_dict("records")])
    real, target = cells["n_real"].to_numpy(int), cells["n_target"].to_numpy(int)
    places = np.arange(len(cells))
    word = "accepted" if accepted else "wanted"
    note = f"Grey: real records. Blue: recombined samples, {word}. Line: what the cell aims at."
    if total > len(cells):
        note += f" The {total - len(cells)} smallest cells are not shown."
    with new_figure(0.42 * len(cells) + 1.3) as figure:
        say(figure, "Train records of every cell, before and after", note)
        axes = figure.subplots()
        axes.barh(places, real, color=GREY, height=0.66)
        axes.barh(places, added, left=real, color=BLUE, height=0.66)
        axes.vlines(target, places - 0.42, places + 0.42, color=ORANGE, lw=2)
        widest = max((real + added).max(), target.max(), 1)
        for place, before, more, aim in zip(
            places.tolist(), real.tolist(), added.tolist(), target.tolist(), strict=True
        ):
            beyond = max(before + more, aim) + widest * 0.02
            axes.text(beyond, place, f"{before} + {more}", va="center", fontsize=9.5)
        axes.set_yticks(places, cells["cell"])
        axes.invert_yaxis()
        axes.set_xlim(0, widest * 1.16)
        axes.tick_params(length=0)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        return encode(figure)


def samples_figure(store: Store, encode: Encoder = small_png) -> bytes:
    """Accepted samples, one of every kind: host, donor and result.

    Parameters
    ----------
    store : Store
    encode : callable, default small_png

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    samples = sample_examples(store, accepted=True).head(MOST_SAMPLES)
    note = "The first accepted sample of every kind of edit, not the best one."
    return _gallery(store, samples, "Recombined samples", note, encode)


def rejected_figure(store: Store, encode: Encoder = small_png) -> bytes:
    """Refused samples, two of every reason: host, donor and result.

    Parameters
    ----------
    store : Store
    encode : callable, default small_png

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    samples = sample_examples(store, accepted=False, per_kind=2).head(MOST_SAMPLES)
    note = "The first samples that each gate refused."
    return _gallery(store, samples, "Refused samples", note, encode)


def _gallery(store: Store, samples: pd.DataFrame, title: str, note: str, encode: Encoder) -> bytes:
    """Two samples a line, each as host, donor, result with a caption."""
    lines = max(-(-len(samples) // 2), 1)
    pictures = Pictures(store)
    with new_figure(0.6 + 1.95 * lines) as figure:
        say(figure, title, note if len(samples) else "There are none.")
        grid = figure.add_gridspec(
            2 * lines, 7, width_ratios=[1, 1, 1, 0.1, 1, 1, 1], height_ratios=[0.28, 1] * lines
        )
        for number, row in enumerate(samples.to_dict("records")):
            line, start = 2 * (number // 2), 4 * (number % 2)
            caption = figure.add_subplot(grid[line, start : start + 3])
            caption.axis("off")
            caption.text(0, 0, _caption(row), va="bottom", fontsize=9).set_in_layout(False)
            trio = [pictures.image(row["host_id"]), pictures.image(row["donor_id"]),
                    decode_image(row["image"])]  # fmt: skip
            for column, word in enumerate(("host", "donor", "result")):
                axes = figure.add_subplot(grid[line + 1, start + column])
                bare(axes)
                axes.imshow(fitted(trio[column], 150, 150))
                axes.set_xlabel(word, fontsize=8.5, color=INK if word == "result" else MUTED)
        return encode(figure)


def _caption(row: dict[Any, Any]) -> str:
    nodes = ", ".join(row["nodes"])
    second = (
        f"→ {cell_of(row['label'], row['groups'])}"
        if row["accepted"]
        else REASON_WORDS.get(row["reason"], row["reason"])
    )
    operator = OPERATOR_WORDS[row["operator"]].capitalize()
    return f"{operator} of {nodes}, {DIRECTION_WORDS[row['direction']]}\n{second}"
