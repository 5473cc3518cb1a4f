"""Figures of the benchmarks as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all but the first column are numbers and stand right."""
    lines = [header, ["---", *(["---:"] * (len(header) - 1))], *rows]
    return "\n".join("| " + " | ".join(str(group) for group in line) + " |" for line in lines)


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation over seeds; the value alone if there is one."""
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def _of_seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"Seed {seeds[0]} alone"
    return f"Seeds {', '.join(map(str, seeds))}: mean ± standard deviation"


def accuracy(
    name: str,
    nodes: Sequence[str],
    seeds: Sequence[int],
    trees: Mapping[tuple[str, int], Mapping[str, Any]],
    baselines: Mapping[tuple[str, int, int], Mapping[str, Any]],
) -> str:
    """Every node, both similarities and the baseline on one dataset."""
    methods = {
        node: [trees[name, seed]["rows"][node] for seed in seeds]
        for node in (*nodes, "plain similarity", "debiased similarity")
    }
    for size in sorted({key[2] for key in baselines}):
        methods[f"baseline, {size} px"] = [baselines[name, seed, size] for seed in seeds]
    rows = []
    for method, scores in methods.items():
        untrained = [s for s in scores if s.get("state", "trained") != "trained"]
        # The interval of the seed in the middle: those of different seeds do not add up.
        middle = sorted(scores, key=lambda s: s["worst_group_accuracy"])[len(scores) // 2]
        rows.append(
            [
                method + (f" (untrained in {len(untrained)})" if untrained else ""),
                spread([s["p_at_1"] for s in scores]),
                spread([s["map_at_r"] for s in scores]),
                spread([s["worst_group_accuracy"] for s in scores]),
                f"{middle['worst_low']:.2f} to {middle['worst_high']:.2f}",
                spread([s["average_accuracy"] for s in scores]),
            ]
        )
    header = ["", "P@1", "MAP@R", "worst group", "95% interval", "average"]
    largest = max(key[2] for key in baselines)
    gains = [
        d["worst_group_accuracy"] - b["worst_group_accuracy"]
        for d, b in zip(
            methods["debiased similarity"], methods[f"baseline, {largest} px"], strict=True
        )
    ]
    n = methods["debiased similarity"][0]["worst_n"]
    return (
        f"## Accuracy: {name}\n\n{_of_seeds(seeds)}. Balanced test split, {n} images in the worst "
        "attribute of a seed; the interval (Wilson) is the middle seed's.\n\n"
        + table(header, rows)
        + "\n\nDebiased similarity minus the baseline at "
        f"{largest} px, worst group: {spread(gains)}."
    )


def time(measured: Mapping[str, Mapping[str, Any]], seed: int, size: int) -> str:
    """Seconds, and ratios to the baseline."""
    titles = {
        "alone": "tree without cross-fitting",
        "folds": "tree, 3-fold",
        "baseline": f"baseline, {size} px",
    }
    rows = [
        [
            f"{name}: {title}",
            f"{took[method]['wall_s']:.1f}",
            f"{took[method]['wall_s'] / took['baseline']['wall_s']:.2f}",
            f"{took[method]['cpu_s']:.1f}",
            f"{took[method]['cpu_s'] / took['baseline']['cpu_s']:.2f}",
        ]
        for name, took in measured.items()
        for method, title in titles.items()
    ]
    header = ["", "wall s", "ratio", "processor s", "ratio"]
    return (
        f"## Training time (seed {seed})\n\nViews or decoding, training, and choosing the "
        f"baseline's epoch included.\n\n{table(header, rows)}"
    )


def device(used: Mapping[str, Mapping[str, Any]]) -> str:
    """How fast the lowest level trains, and how busy it keeps the device."""
    rows = [
        [
            name,
            f"{own['images']:,}",
            f"{own['wall_s']:.1f}",
            f"{own['images_per_s']:,.0f}",
            f"{own['peak_bytes'] / 1e6:.0f}" if own["peak_bytes"] else "–",
            f"{own['busy']:.0%}",
        ]
        for name, own in used.items()
    ]
    header = ["", "images", "wall s", "images per second", "peak MB of CUDA", "busy"]
    return (
        "## The device while the lowest level trains\n\nFinal and fold networks of all leaves, "
        "views included. Busy: share of the wall time in which CUDA computes, or of all "
        f"processors' time.\n\n{table(header, rows)}"
    )


def memory(figures: Mapping[str, Any]) -> str:
    """Peak tensor bytes of the levels and of the baseline."""
    largest = str(max(int(size) for size in figures["baseline"]))
    base = figures["baseline"][largest]
    peaks = {f"one network, {side} px": peak for side, peak in figures["network"].items()}
    for level in figures["levels"]:
        for networks, peak in (("networks", "bytes"), ("most_networks", "most_bytes")):
            peaks[f"level {level['level']}, {level[networks]} networks at once"] = level[peak]
    peaks |= {f"baseline, {size} px": peak for size, peak in figures["baseline"].items()}
    rows = [[what, f"{peak / 1e6:.1f}", f"{peak / base:.3f}"] for what, peak in peaks.items()]
    return (
        f"## Peak of tensors while training, batches of {figures['batch_size']}\n\nOf each level "
        "with as many networks at once as this machine has processors, and with as many as train "
        "at once on any machine by default.\n\n" + table(["", "MB", "ratio"], rows)
    )


def snr(figures: Mapping[str, float]) -> str:
    """Our distance beside the library's."""
    rows = [
        ["matrix product", f"{figures['own_s'] * 1e3:.1f}", f"{figures['own_bytes'] / 1e6:.1f}"],
        ["library", f"{figures['library_s'] * 1e3:.1f}", f"{figures['library_bytes'] / 1e6:.1f}"],
        [
            "ratio",
            f"{figures['library_s'] / figures['own_s']:.0f}×",
            f"{figures['library_bytes'] / figures['own_bytes']:.0f}×",
        ],
    ]
    return (
        f"## SNR distance and its gradient, N = {figures['rows']}, D = {figures['dimensions']}\n\n"
        f"One thread; largest difference {figures['largest_difference']:.1e}.\n\n"
        + table(["", "processor ms", "MB"], rows)
    )


def comparison(title: str, nodes: Sequence[str], ways: Mapping[str, Mapping[str, Any]]) -> str:
    """Precision at 1, MAP@R and worst-group accuracy of some nodes, one row for each way."""
    shown = [node for node in nodes if all(node in way["rows"] for way in ways.values())]
    rows = []
    for name, way in ways.items():
        scores = [way["rows"][node] for node in shown]
        groups = [
            f"{s['p_at_1']:.2f} / {s['map_at_r']:.2f} / {s['worst_group_accuracy']:.2f}"
            for s in scores
        ]
        mean = np.mean([s["p_at_1"] for s in scores])
        rows.append([name, *groups, f"{mean:.3f}", f"{way['cpu_s']:.0f}"])
    header = ["", *shown, "mean P@1", "processor s"]
    return (
        f"## {title}\n\nP@1 / MAP@R / worst-group accuracy of the final networks on the balanced "
        "test split.\n\n" + table(header, rows)
    )
