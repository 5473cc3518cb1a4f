"""Figure of the effect: accuracy of every training arm on the held-out test split."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from heml.effect.summary import ArmEffect, arm_effects
from heml.report.drawing.encoding import Encoder, small_png
from heml.report.drawing.heading import add_heading
from heml.report.drawing.style import BLUE, GRAY, INK, ORANGE, WIDTH, new_figure
from heml.storage.store import Store

#: Of other arms: gray.
_COLORS = {"erm": ORANGE, "rebalanced": BLUE}


def effect_figure(store: Store, encode: Encoder = small_png, width: float = WIDTH) -> bytes | None:
    """Worst-group and average accuracy of every arm: seeds, mean and 95% intervals.

    Parameters
    ----------
    store : Store
    encode : callable, default small_png
    width : float, default WIDTH

    Returns
    -------
    bytes or None
        A PNG, unless `encode` makes something else; None if nothing was measured.
    """
    arms = arm_effects(pd.read_parquet(store.debias_effect))
    if not arms:
        return None
    beside = width == WIDTH
    height = 0.55 * len(arms) + 2.1
    with new_figure(height if beside else 2 * height - 1.0, width=width) as figure:
        add_heading(
            figure,
            "Accuracy on held-out images, by what the network was trained on",
            f"{_seeds(arms[0].seeds)}, {arms[0].n_test} real test images. Worst group: the group "
            f"with the lowest accuracy, {_range([arm.n_worst for arm in arms])} images.",
        )
        panels = figure.subplots(*((1, 2) if beside else (2, 1)), sharey=True)
        for axes, title, worst in zip(
            panels, ("Worst group", "Average of all groups"), (True, False), strict=True
        ):
            axes.set_title(title)
            for place, arm in enumerate(arms):
                _draw_arm(axes, place, arm, worst)
            axes.set_xlim(-0.02, 1.04)
            axes.set_xticks(np.linspace(0, 1, 5), ["0%", "25%", "50%", "75%", "100%"])
            axes.grid(axis="x")
            axes.tick_params(length=0)
            axes.spines["left"].set_visible(False)
        names = [a.words if beside else textwrap.fill(a.words, 14) for a in arms]
        names = [f"{name}\n{a.n_train} images" for name, a in zip(names, arms, strict=True)]
        panels[0].set_yticks(range(len(arms)), names)
        panels[0].set_ylim(len(arms) - 0.4, -0.6)
        handles = [
            Line2D([], [], color=INK, marker="o", lw=4, markersize=9, alpha=0.9,
                   label="mean, 95% interval over seeds and test images"),
            Line2D([], [], color=INK, marker="o", lw=0, markersize=4, markerfacecolor="white",
                   label="one seed"),
        ]  # fmt: skip
        figure.legend(
            handles=handles, loc="outside lower center", ncols=2 if beside else 1, fontsize=8.5
        )
        return encode(figure)


def _draw_arm(axes: Axes, place: int, arm: ArmEffect, worst: bool) -> None:
    color = _COLORS.get(arm.arm, GRAY)
    interval = arm.worst if worst else arm.average
    values = arm.worst_values if worst else arm.average_values
    axes.hlines(place, interval.low, interval.high, color=color, lw=5, alpha=0.35)
    axes.plot(interval.mean, place, "o", color=color, markersize=10)
    axes.plot(values, np.full(len(values), place + 0.24), "o", color=color, markersize=4.5,
              markerfacecolor="white")  # fmt: skip
    axes.text(interval.mean, place - 0.2, f"{interval.mean:.0%}", ha="center", va="bottom",
              fontweight="bold", color=INK)  # fmt: skip


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"
