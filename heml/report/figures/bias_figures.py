"""Figures of the bias scores: the tree colored by score, and all leaves with intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from heml.images.images_table import image_index
from heml.report.drawing.canvas import canvas
from heml.report.drawing.encoding import Encoder, small_png
from heml.report.drawing.heading import add_heading, heading_height
from heml.report.drawing.style import (
    ALIGNED,
    CONFLICTING,
    GRAY,
    PALE_GRAY,
    SCORES,
    WIDTH,
    new_figure,
)
from heml.report.drawing.tree_drawing import Box, draw_tree, tree_height
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

#: More leaves than this are cut off, least biased first; the report's table has them all.
MOST_LEAVES = 30


def scores_of(store: Store, attribute: str) -> pd.DataFrame:
    """Rows of `bias_scores` of one attribute, best first within a kind.

    Raises
    ------
    KeyError
        If the attribute was not measured.
    """
    scores = pd.read_parquet(store.bias_scores)
    own = scores[scores["attribute"] == attribute]
    if own.empty:
        raise KeyError(
            f"no bias scores of '{attribute}'; measured: {sorted(set(scores['attribute']))}"
        )
    return own.sort_values(["kind", "rank"]).reset_index(drop=True)


def tree_figure(
    store: Store, taxonomy: Taxonomy, attribute: str, encode: Encoder = small_png
) -> bytes:
    """The metric tree, every node colored by its bias score for one attribute.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
    attribute : str
    encode : callable, default small_png

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    rows = scores_of(store, attribute).set_index("node")
    boxes: dict[str, Box] = {}
    for node in taxonomy.nodes:
        row = rows.loc[node]
        aligned, conflicting = row["accuracy_aligned"], row["accuracy_conflicting"]
        if pd.isna(row["attribute_auc"]) or pd.isna(aligned) or pd.isna(conflicting):
            boxes[node] = Box(node, "not measurable", PALE_GRAY, dashed=True)
            continue
        boxes[node] = Box(
            f"{node}  {row['score']:.2f}",
            f"{aligned:.0%} → {conflicting:.0%}",
            SCORES(float(row["score"])),
        )
    first = rows.iloc[0]
    note = (
        "Bias score from 0, white, to 1, orange: encodes the attribute and relies on it. Below it, "
        f"label accuracy on aligned → on conflicting records (n {first['n']}, "
        f"{first['n_conflicting']} of them conflicting)."
    )
    with new_figure(tree_height(taxonomy) + heading_height(note)) as figure:
        used = add_heading(figure, f"Bias scores for {attribute} in the tree", note)
        draw_tree(canvas(figure, used), taxonomy, boxes)
        return encode(figure)


def bias_figure(
    store: Store, attribute: str, encode: Encoder = small_png, width: float = WIDTH
) -> bytes:
    """Scores of all leaves with intervals, beside their accuracies on aligned and conflicting.

    Parameters
    ----------
    store : Store
    attribute : str
    encode : callable, default small_png
    width : float, default WIDTH

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    rows = scores_of(store, attribute)
    leaves = rows[rows["kind"] == "leaf"].head(MOST_LEAVES).reset_index(drop=True)
    chance = 1 / image_index(store, [])["label"].nunique()
    places = np.arange(len(leaves))
    beside = width == WIDTH
    height = max(2.6, 0.33 * len(leaves) + 1.75)
    with new_figure(height if beside else 2 * height - 0.7, width=width) as figure:
        add_heading(
            figure,
            f"Which segments encode {attribute} and rely on it",
            f"n {leaves['n'].max()} train records, {leaves['n_conflicting'].max()} of them "
            "conflicting; out of fold. Bars: 95% intervals (bootstrap, Wilson).",
        )
        left, right = (
            figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.05])
            if beside
            else figure.subplots(2, 1, sharey=True)
        )
        left.barh(places, leaves["score"], height=0.62, color=SCORES(leaves["score"].astype(float)),
                  edgecolor=GRAY, linewidth=0.6)  # fmt: skip
        left.hlines(places, leaves["score_low"], leaves["score_high"], color="#1b2430", lw=1.4)
        for place, row in zip(places, leaves.itertuples(), strict=True):
            reach = max(float(row.score), float(row.score_high))  # type: ignore[arg-type]
            left.text(reach + 0.02, place, f"{row.score:.2f}", va="center", fontsize=9)
        left.set_yticks(places, leaves["node"])
        left.invert_yaxis()
        left.set_xlim(0, 1.12 if beside else 1.25)
        left.set_xticks([0, 0.5, 1])
        left.set_title("Bias score")
        _accuracies(right, places, leaves, chance, beside)
        for axes in (left, right):
            axes.tick_params(length=0)
            axes.grid(axis="x")
            axes.spines["left"].set_visible(False)
        return encode(figure)


def _accuracies(
    axes: Axes, places: np.ndarray, leaves: pd.DataFrame, chance: float, wide: bool
) -> None:
    axes.axvline(chance, color=GRAY, lw=1, linestyle=(0, (4, 3)), zorder=1)
    for name, color, marker, offset in (
        ("aligned", ALIGNED, "o", -0.13),
        ("conflicting", CONFLICTING, "D", 0.13),
    ):
        column = f"accuracy_{name}"
        axes.hlines(
            places + offset, leaves[f"{column}_low"], leaves[f"{column}_high"], color=color, lw=1.4
        )
        axes.plot(
            leaves[column], places + offset, marker, color=color, markersize=6, linestyle="none",
            label=f"on {name}",
        )  # fmt: skip
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.set_title("Label accuracy of the leaf alone" if wide else "Label accuracy, leaf alone")
    axes.plot([], [], color=GRAY, lw=1, linestyle=(0, (4, 3)), label="chance")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.07), ncols=3, fontsize=9 if wide else 8,
        handletextpad=0.4, **({} if wide else {"columnspacing": 0.9, "handlelength": 1.2}),
    )  # fmt: skip
