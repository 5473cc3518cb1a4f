"""Limits of the seam's numbers: what nearly all borders in real images keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from heml.recombination.judging.seam import SeamNumbers

#: Share of real borders that the limits refuse, all numbers together.
REFUSED = 0.05
#: Quantile of each number that sets its scale: in the tail, and stable with few borders.
TAIL = 0.1
#: With fewer real borders than this there are no limits.
LEAST_BORDERS = 20


class SeamLimits(NamedTuple):
    """What real borders show, from `calibrate_seam`.

    Parameters
    ----------
    median, low, high : SeamNumbers
        Median and outer quantiles; a low step, a clear border and much detail in a fill are no
        fault.
    factor : float
        Nearly all real borders stay within this many times the distance from median to quantile.
    n : int
        Real borders behind them.
    """

    median: SeamNumbers
    low: SeamNumbers
    high: SeamNumbers
    factor: float
    n: int

    def conspicuous(self, numbers: SeamNumbers) -> float:
        """How far the worst number is from the median; above 1 beyond what real borders show."""
        worst = 0.0
        for value, median, low, high in zip(numbers, self.median, self.low, self.high, strict=True):
            if np.isnan(value) or np.isnan(median):
                continue
            limit = high if value > median else low
            if np.isfinite(limit) and limit != median:
                worst = max(worst, (value - median) / (limit - median))
        return float(worst / self.factor)

    def describe(self) -> dict[str, float]:
        """Limits of each number, those that exist; 1 is the limit of all together."""
        return {"limit": 1.0} | {
            f"{name}_{side}": median + self.factor * (limit - median)
            for side, quantile in (("at_least", self.low), ("at_most", self.high))
            for name, median, limit in zip(SeamNumbers._fields, self.median, quantile, strict=True)
            if np.isfinite(limit)
        }


def calibrate_seam(numbers: Sequence[SeamNumbers]) -> SeamLimits | None:
    """Limits that real borders keep, all numbers together, up to a share `REFUSED` of them.

    Returns
    -------
    SeamLimits, or None with fewer than `LEAST_BORDERS` borders.
    """
    table = np.array(numbers, float).reshape(-1, 4)
    count = int((~np.isnan(table[:, 0])).sum())
    if count < LEAST_BORDERS:
        return None

    def quantile(share: float) -> SeamNumbers:
        columns = [column[~np.isnan(column)] for column in table.T]
        return SeamNumbers(
            *(float(np.quantile(c, share)) if len(c) >= LEAST_BORDERS else np.nan for c in columns)
        )

    limits = SeamLimits(
        quantile(0.5),
        quantile(TAIL)._replace(step=-np.inf),
        quantile(1 - TAIL)._replace(border=np.inf, filled=np.inf),
        1.0,
        count,
    )
    worst = [limits.conspicuous(n) for n in numbers if not np.isnan(n.step)]
    return limits._replace(factor=max(float(np.quantile(worst, 1 - REFUSED)), 1e-6))


def border_limits(numbers: Sequence[SeamNumbers]) -> tuple[SeamLimits | None, float]:
    """Limits of the seam from real borders of one kind of segment.

    The share that they refuse is measured on either half of the borders with limits from the other.
    """
    limits = calibrate_seam(numbers)
    refused = [
        half.conspicuous(n) > 1
        for part in (0, 1)
        if (half := calibrate_seam(numbers[part::2])) is not None
        for n in numbers[1 - part :: 2]
    ]
    return limits, float(np.mean(refused)) if refused else np.nan
