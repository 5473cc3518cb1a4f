"""The table of a comparison, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.effect_tasks import Task, TaskData
from heml.audit.edit_detectability import EditDetectability
from heml.bias.family_bootstrap import Measured
from heml.effect.effect_settings import EffectSettings
from heml.effect.intervals import (
    Draws,
    Interval,
    Trial,
    bootstrap,
    difference,
    interval,
    share_closed,
)

WORDS = {
    "erm": "plain",
    "group_balanced": "group-balanced sampling",
    "subg": "undersampling",
    "reweighting": "reweighting",
    "group_dro": "GroupDRO",
    "cutmix": "CutMix",
    "random_paste": "random paste of segments",
    "dfr": "last-layer retraining (DFR)",
    "rebalanced": "**ours** (rebalanced dataset)",
    "oracle": "oracle (unbiased train set)",
}


@dataclass(frozen=True)
class Experiment:
    """Everything a table says.

    Parameters
    ----------
    tasks : list of Task
    data : list of TaskData
    settings : EffectSettings
    trials : list of Trial
    sizes : mapping of arm to sequence of int
        Training images by task.
    traces : mapping of task to EditDetectability
        Of the tasks with a rebalanced dataset.
    """

    tasks: list[Task]
    data: list[TaskData]
    settings: EffectSettings
    trials: list[Trial]
    sizes: Mapping[str, Sequence[int]]
    traces: Mapping[str, EditDetectability]


def edited(arm: str) -> str:
    """The name under which an arm's results on self-recombined images are kept."""
    return f"{arm}, edited"


def markdown(experiment: Experiment) -> str:
    """Accuracies with intervals, share of the gap, and whether ours is best."""
    drawn = bootstrap(experiment.trials)
    first = experiment.tasks[0]
    n_test = sum(len(t.images) for t in experiment.trials)
    unique = len({name for t in experiment.trials for name in t.images})
    lines = [
        f"# {first.label} / {first.attribute}",
        "",
        f"{len(experiment.tasks)} splits × {experiment.settings.seeds} seeds, "
        f"{experiment.settings.steps} steps at {experiment.settings.size} px; {n_test} test images "
        f"({unique} different ones). Mean over splits and seeds, 95% intervals over splits, seeds "
        "and test images.",
        "",
        "| trained on | images | worst group | 95% | average | 95% | gap closed | 95% | by split |",
        "|---|--:|--:|---|--:|---|--:|---|---|",
    ]
    arms = {arm: own for arm, own in drawn.items() if arm in WORDS}
    lines += [_row(experiment, arm, arms) for arm in arms]
    lines += ["", *_verdicts(arms), *_notes(experiment), *_artifacts(experiment, drawn)]
    return "\n".join(lines)


def _row(experiment: Experiment, arm: str, drawn: Mapping[str, Draws]) -> str:
    own = drawn[arm]
    worst, average = (
        interval(own.worst, own.worst_draws),
        interval(own.average, own.average_draws),
    )
    closed = None
    if arm not in ("erm", "oracle") and {"erm", "oracle"} <= set(drawn):
        closed = share_closed(own, drawn["erm"], drawn["oracle"])
    sizes = sorted(set(experiment.sizes[arm]))
    by_split = [bootstrap([t], draws=1)[arm].worst for t in experiment.trials]
    return (
        f"| {WORDS[arm]} | {sizes[0] if len(sizes) == 1 else f'{sizes[0]}–{sizes[-1]}'} "
        f"| {worst.mean:.2f} | {_range(worst)} | {average.mean:.2f} | {_range(average)} "
        f"| {'–' if closed is None else f'{closed.mean:.2f}'} "
        f"| {'–' if closed is None else _range(closed)} "
        f"| {' '.join(f'{value:.2f}' for value in by_split)} |"
    )


def _range(value: Interval) -> str:
    return f"{value.low:.2f} to {value.high:.2f}"


def _verdicts(drawn: Mapping[str, Draws]) -> list[str]:
    """Ours against the best other arm and against plain."""
    lines = []
    others = [arm for arm in drawn if arm not in ("rebalanced", "oracle")]
    if "rebalanced" in drawn and others:
        ours = drawn["rebalanced"]
        best = max(others, key=lambda arm: drawn[arm].worst)
        gain = difference(ours, drawn[best])
        lines.append(
            f"- Best other arm: {WORDS[best]}. Ours minus it: {gain.mean:+.2f} "
            f"({gain.low:+.2f} to {gain.high:+.2f}) in worst-group accuracy."
        )
        if "erm" in drawn:
            plain = drawn["erm"]
            gain = interval(ours.average - plain.average, ours.average_draws - plain.average_draws)
            lines.append(
                f"- Ours minus plain in average accuracy: {gain.mean:+.2f} "
                f"({gain.low:+.2f} to {gain.high:+.2f})."
            )
    return lines


def _artifacts(experiment: Experiment, drawn: Mapping[str, Draws]) -> list[str]:
    """What the edits leave behind."""
    lines = []
    if experiment.traces:
        lines += [
            "",
            "A network trained to tell recombined from real images, and the label from its score "
            "alone, out of fold (a host and what was made of it are in one fold):",
            "",
            "| images of | n | AUC | 95% | label | 95% | within an attribute | 95% | chance |",
            "|---|--:|--:|---|--:|---|--:|---|--:|",
        ]
        lines += [
            f"| {task} | {t.label.n} | {_measured(t.detector)} | {_measured(t.label)} "
            f"| {_measured(t.label_within)} | {t.chance:.3f} |"
            for task, t in experiment.traces.items()
        ]
    arms = [arm for arm in drawn if edited(arm) in drawn]
    if arms:
        lines += [
            "",
            "Average accuracy on test images with one of their own segments put back:",
            "",
            "| trained on | as they are | 95% | change | 95% |",
            "|---|--:|---|--:|---|",
        ]
    for arm in arms:
        before, after = drawn[arm], drawn[edited(arm)]
        average = interval(before.average, before.average_draws)
        change = interval(
            after.average - before.average, after.average_draws - before.average_draws
        )
        lines.append(
            f"| {WORDS[arm]} | {average.mean:.3f} | {_range(average)} | {change.mean:+.3f} "
            f"| {change.low:+.3f} to {change.high:+.3f} |"
        )
    return lines


def _measured(found: Measured | None) -> str:
    if found is None:
        return "– | –"
    return f"{found.value:.3f} | {found.low:.3f} to {found.high:.3f}"


def _notes(experiment: Experiment) -> list[str]:
    lines = []
    for task, data in zip(experiment.tasks, experiment.data, strict=True):
        if untested := data.groups[data.test_groups :]:
            lines.append(f"- {task.name}: no test images of {'; '.join(untested)}: not judged.")
        counts = np.bincount(data.splits["test"].groups)
        lines.append(f"- {task.name}: {counts.min()} to {counts.max()} test images per group.")
    return lines
