"""Figures of the rebalancing: groups before and after, accepted and rejected samples."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
from matplotlib.axes import Axes

from heml.images.images_table import decode_image
from heml.parts.wording import DIRECTION_WORDS, group_of, moved_words
from heml.recombination.operator import OPERATORS
from heml.recombination.refusals import refusal_words
from heml.report.drawing.canvas import canvas, place_image
from heml.report.drawing.encoding import Encoder, small_png
from heml.report.drawing.heading import add_heading, heading_height
from heml.report.drawing.style import (
    BLUE,
    GRAY,
    INK,
    MUTED,
    ORANGE,
    PALE_BLUE,
    WIDTH,
    new_figure,
)
from heml.report.drawing.thumbnails import fitted
from heml.report.figures.examples import sample_examples
from heml.report.figures.store_images import StoreImages
from heml.storage.store import Store

#: Groups and samples that a figure shows at most.
MOST_GROUPS, MOST_SAMPLES = 24, 10


def accepted_per_group(store: Store, within_group: bool | None = None) -> Counter[tuple[str, ...]]:
    """Accepted samples by (label, attribute values).

    Parameters
    ----------
    within_group : bool, optional
        Only samples whose host and donor are of the same group, or only others.
    """
    samples = ds.dataset(store.recombined_samples, format="parquet")
    chosen = ds.field("accepted")
    if within_group is not None:
        chosen &= (ds.field("direction") == "within_group") == within_group
    table = samples.to_table(columns=["label", "attributes"], filter=chosen)
    return Counter((row["label"], *row["attributes"]) for row in table.to_pylist())


def plan_figure(
    store: Store, accepted: bool = False, encode: Encoder = small_png, width: float = WIDTH
) -> bytes:
    """Train records of every group before and after, as stacked bars.

    Parameters
    ----------
    store : Store
    accepted : bool, default False
        False shows the samples that the plan wants; True those that were accepted, which needs
        the `recombined_samples` of this plan.
    encode : callable, default small_png
    width : float, default WIDTH

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    groups = pd.read_parquet(store.planned_groups)
    total = len(groups)
    groups = groups.sort_values("n_real", ascending=False, kind="stable").head(MOST_GROUPS)
    parts = [groups["n_balancing"].to_numpy(int), groups["n_within_group"].to_numpy(int)]
    if accepted:
        counts = [accepted_per_group(store, within_group) for within_group in (False, True)]
        keys = [(row["label"], *row["attributes"]) for row in groups.to_dict("records")]
        parts = [np.array([count[key] for key in keys], int) for count in counts]
    real, target = groups["n_real"].to_numpy(int), groups["n_target"].to_numpy(int)
    word = "accepted" if accepted else "planned"
    note = (
        f"Gray: real records. Blue: {word} samples from records of other groups. Hatched: {word} "
        "samples from records of the same group. Orange line: target of the group."
    )
    if total > len(groups):
        note += f" The {total - len(groups)} smallest groups are not shown."
    title = "Train records of every group, before and " + ("after" if accepted else "as planned")
    line = 0.42 if width == WIDTH else 0.62
    with new_figure(line * max(len(groups), 1) + 1.3, width=width) as figure:
        add_heading(figure, title, note if total else "There are no groups.")
        if total:
            above = width < WIDTH
            _stacked(figure.subplots(), groups["group"].tolist(), real, parts, target, above)
        return encode(figure)


def _stacked(
    axes: Axes,
    names: list[str],
    real: np.ndarray,
    parts: list[np.ndarray],
    target: np.ndarray,
    above: bool,
) -> None:
    """Bars; names stand beside them, or above where beside is no room."""
    places = np.arange(len(names))
    balancing, within_group = parts
    height = 0.42 if above else 0.66
    axes.barh(places, real, color=GRAY, height=height)
    axes.barh(places, balancing, left=real, color=BLUE, height=height)
    axes.barh(
        places,
        within_group,
        left=real + balancing,
        color=PALE_BLUE,
        edgecolor=BLUE,
        hatch="////",
        linewidth=0,
        height=height,
    )
    axes.vlines(target, places - 0.6 * height, places + 0.6 * height, color=ORANGE, lw=2)
    ends = real + balancing + within_group
    widest = max(ends.max(), target.max(), 1)
    columns = (places, real, balancing, within_group, ends)
    for place, before, *counts, end in zip(*(c.tolist() for c in columns), strict=True):
        added = "".join(f" + {count}" for count in counts if count)
        beyond = max(end, int(target[place])) + widest * 0.02
        axes.text(beyond, place, f"{before}{added}", va="center", fontsize=9.5)
    axes.set_yticks(places, [""] * len(names) if above else names)
    if above:
        for place, name in zip(places.tolist(), names, strict=True):
            axes.text(0, place - 0.28, name, va="bottom", fontsize=9.5)
        axes.set_ylim(-0.75, len(names) - 0.5)
    axes.invert_yaxis()
    axes.set_xlim(0, widest * (1.4 if above else 1.2))
    axes.tick_params(length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


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
    note = "The first accepted sample of every kind of edit, not the best."
    return _gallery(store, samples, "Recombined samples", note, encode)


def rejected_figure(store: Store, encode: Encoder = small_png) -> bytes:
    """Rejected samples, two for every reason: host, donor and result.

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
    note = "The first samples that each gate rejected."
    return _gallery(store, samples, "Rejected samples", note, encode)


def _gallery(store: Store, samples: pd.DataFrame, title: str, note: str, encode: Encoder) -> bytes:
    """Two samples a line, each as host, donor, result with a caption."""
    lines = max(-(-len(samples) // 2), 1)
    images = StoreImages(store)
    note = note if len(samples) else "There are none."
    gap, words, middle = 0.08, 0.38, 0.2
    side = ((WIDTH - middle) / 2 - 3 * gap) / 3
    line = words + side + 0.25
    with new_figure(heading_height(note) + line * lines) as figure:
        axes = canvas(figure, add_heading(figure, title, note))
        for number, row in enumerate(samples.to_dict("records")):
            left, top = number % 2 * (WIDTH + middle) / 2 + gap, number // 2 * line
            axes.text(left, top + words - 0.05, _caption(row), va="bottom", fontsize=9)
            trio = [images.image(row["host_id"]), images.image(row["donor_id"]),
                    decode_image(row["image"])]  # fmt: skip
            for column, word in enumerate(("host", "donor", "result")):
                x = left + column * (side + gap)
                place_image(axes, fitted(trio[column], 150, 150), x, top + words, side, side)
                axes.text(
                    x + side / 2, top + words + side + 0.03, word, ha="center", va="top",
                    fontsize=8.5, color=INK if word == "result" else MUTED,
                )  # fmt: skip
        return encode(figure)


def _caption(row: dict[Any, Any]) -> str:
    nodes = moved_words(row["nodes"], row["recolored_nodes"])
    second = (
        f"→ {group_of(row['label'], row['attributes'])}"
        if row["accepted"]
        else refusal_words(row["reason"])
    )
    operator = OPERATORS[row["operator"]].words.capitalize()
    return f"{operator} of {nodes}, {DIRECTION_WORDS[row['direction']]}\n{second}"
