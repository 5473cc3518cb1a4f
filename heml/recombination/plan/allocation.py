"""How many samples each group gets: target, budget, within-group and additional samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from heml.bias.coverage import coverage
from heml.recombination.plan.targets import group_targets
from heml.recombination.plan.train_split import texts
from heml.recombination.rebalance_settings import RebalanceSettings

#: Budget of a recipe that gives none, and its most in a small dataset.
BUDGET, SMALL_BUDGET = 1.5, 5.0


def count_groups(train: pd.DataFrame, label_name: str, attributes: Sequence[str]) -> pd.DataFrame:
    """Groups of the records that belong to one.

    Returns
    -------
    DataFrame
        As the `coverage` contract says; no rows if no record has a value of every attribute.
    """
    known = train[np.logical_and.reduce([pd.notna(texts(train[a])) for a in attributes])]
    if known.empty:
        return pd.DataFrame({"group": [], "label": [], "attributes": [], "n": np.zeros(0, int)})
    # Counts alone are used: intervals would cost more than the plan.
    return coverage(known, label_name, attributes, resamples=1)


def wanted_balancing(
    groups: pd.DataFrame,
    settings: RebalanceSettings,
    records: int,
    most: np.ndarray | None = None,
) -> pd.DataFrame:
    """Targets, and the samples that bring label and attributes together, within the budget.

    If the budget is short, every group is brought to the same share of its target: what is scarcest
    gets most. The within-group samples that spread them over the labels count as well.

    Parameters
    ----------
    groups : DataFrame
        Columns label, attributes and n.
    records : int
        Real train records, which the budget is a multiple of.
    most : int array (groups,), optional
        Samples that can be planned for each group, if that is known.

    Returns
    -------
    DataFrame
        `groups` with n_target and n_balancing.
    """
    n = groups["n"].to_numpy(int)
    target = group_targets(groups, settings.target)
    label, margins = _label_margins(groups, target)
    budget = budget_of(settings, records)

    def balancing_at(level: float) -> np.ndarray:
        wished = np.floor(np.maximum(level * target - n, 0) + 1e-9).astype(int)
        return wished if most is None else np.minimum(wished, most)

    def needed(balancing: np.ndarray) -> int:
        return int(np.floor(_rate(balancing, label, margins) * margins + 1e-9).sum())

    low, high = 0.0, 1.0
    if needed(balancing_at(1.0)) <= budget:
        low = 1.0
    for _ in range(50 if low < 1 else 0):
        middle = (low + high) / 2
        if needed(balancing_at(middle)) <= budget:
            low = middle
        else:
            high = middle
    return groups.assign(n_target=target, n_balancing=balancing_at(low))


def wanted_within_group(
    groups: pd.DataFrame, balancing: np.ndarray, settings: RebalanceSettings, records: int
) -> np.ndarray:
    """Within-group samples, so that being recombined encodes neither label nor attribute.

    Every label gets recombined samples in proportion to its share of the target, and groups that
    need few get within-group samples up to `settings.within_group` of what the neediest gets, as
    far as the budget goes and at most one per real record. `within_group: 0` plans none at all.

    Parameters
    ----------
    groups : DataFrame
        As `wanted_balancing` returns.
    balancing : int array (groups,)
        As much of `n_balancing` as can be planned.

    Returns
    -------
    int array (groups,)
    """
    n = groups["n"].to_numpy(int)
    found = np.zeros(len(groups), int)
    if balancing.sum() == 0 or settings.within_group == 0:
        return found
    label, margins = _label_margins(groups, groups["n_target"].to_numpy(int))
    budget = budget_of(settings, records)
    wish = np.clip(np.floor(settings.within_group * balancing.max()).astype(int) - balancing, 0, n)
    rate = min(_rate(balancing + wish, label, margins), float(budget))
    filled = np.bincount(label, balancing, len(margins))
    extra = np.maximum(np.floor(rate * margins + 1e-9) - filled, 0).astype(int)
    while extra.sum() > budget - balancing.sum():
        extra[extra.argmax()] -= 1
    for number in range(len(margins)):
        own = np.flatnonzero(label == number)
        found[own] = _leveled(balancing[own], n[own], int(extra[number]))
    return found


def wanted_min_synthetic(
    groups: pd.DataFrame,
    planned: np.ndarray,
    room: np.ndarray,
    settings: RebalanceSettings,
    records: int,
) -> np.ndarray:
    """Samples beyond target and within-group ones, up to `settings.min_synthetic` in all.

    The more hosts meet the more donors, the less else correlates with the label. They are spread
    so that every label has the same share of recombined records, and within a label the groups come
    to one multiple of their targets: then being recombined does not encode the label, neither
    overall nor within an attribute value. Without within-group samples there are none: only groups
    that lack records would grow.

    Parameters
    ----------
    groups : DataFrame
        As `wanted_balancing` returns.
    planned : int array (groups,)
        Samples that are planned already.
    room : int array (groups,)
        How many more can be planned at most.

    Returns
    -------
    int array (groups,)
    """
    extra = np.zeros(len(groups), int)
    n, target = groups["n"].to_numpy(int), groups["n_target"].to_numpy(int)
    total = min(settings.min_synthetic, budget_of(settings, records))
    if settings.within_group == 0 or total <= planned.sum():
        return extra
    room = np.where(target > 0, room, 0)
    names, label = np.unique(groups["label"].astype(str), return_inverse=True)
    real, sums, rooms = (np.bincount(label, v, len(names)) for v in (n, planned, room))
    rate = _even_rate(real, sums, rooms, total)
    for number in range(len(names)):
        own = np.flatnonzero((label == number) & (room > 0))
        wanted = int(np.floor(rate * real[number] + 1e-9) - sums[number])
        if wanted > 0 and len(own):
            extra[own] = _raised(n[own] + planned[own], target[own], room[own], wanted)
    return extra


def _even_rate(real: np.ndarray, planned: np.ndarray, room: np.ndarray, total: float) -> float:
    """Recombined samples per real record that all labels can have, with `total` samples in all.

    The label with the least room bounds the rate of all.
    """
    some = real > 0
    high = float(((planned + room)[some] / real[some]).min(initial=np.inf))
    high = min(high, total / max(real.sum(), 1) + 1)
    if np.maximum(planned, high * real).sum() <= total:
        return high
    return _highest(lambda rate: np.maximum(planned, rate * real).sum() <= total, high)


def _raised(have: np.ndarray, target: np.ndarray, room: np.ndarray, extra: int) -> np.ndarray:
    """Brings groups below one multiple of their targets up to it, with at most `extra` in all and
    at most `room` each."""

    def missing(level: float) -> np.ndarray:
        below = np.floor(np.maximum(level * target - have, 0) + 1e-9).astype(int)
        return np.minimum(below, room)

    if room.sum() <= extra:
        return room
    high = float((have + extra).max() / target.min()) + 1
    return missing(_highest(lambda level: missing(level).sum() <= extra, high))


def _highest(fits: Callable[[float], bool], high: float) -> float:
    """The highest value below `high` that still fits, by bisection from 0."""
    low = 0.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def budget_of(settings: RebalanceSettings, records: int) -> int:
    """Most recombined samples."""
    if settings.budget is None:
        return int(max(BUDGET * records, min(SMALL_BUDGET * records, settings.min_synthetic)))
    return int(np.floor(settings.budget * records + 1e-9))


def _label_margins(groups: pd.DataFrame, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label of each group as int, and the labels' shares of the target."""
    names, label = np.unique(groups["label"].astype(str), return_inverse=True)
    sums = np.bincount(label, np.maximum(target, 0), len(names))
    return label, sums / max(sums.sum(), 1)


def _rate(samples: np.ndarray, label: np.ndarray, margins: np.ndarray) -> float:
    """Samples in all if every label had as many, for its share, as the one with most."""
    sums = np.bincount(label, samples, len(margins))
    possible = margins > 0
    return float((sums[possible] / margins[possible]).max(initial=0.0))


def _leveled(have: np.ndarray, most: np.ndarray, extra: int) -> np.ndarray:
    """Spreads `extra` over groups, those with least first, at most `most` each."""
    added = np.zeros(len(have), int)
    for _ in range(min(extra, int(most.sum()))):
        open_groups = np.flatnonzero(added < most)
        added[open_groups[np.argmin((have + added)[open_groups])]] += 1
    return added
