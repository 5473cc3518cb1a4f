"""How often do 95% intervals hold the truth? `python -m benchmarks.interval_coverage --out FILE.md`

Draws tables from known shares, at independence and at weak to strong association, and counts how
often the interval of each measure of association holds its true value: the interval that HEML
reports, from inverted tests, and the percentile bootstrap for comparison.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from heml.bias import tables
from heml.bias.inverted_interval import from_equal_shares, from_independence, inverted_intervals
from heml.bias.measure import MEASURES, Measure
from heml.storage.atomic_write import write_aside

SHAPES = ((2, 2), (2, 4), (3, 3))
SIZES = (60, 300, 1500)
STRENGTHS = (0.0, 0.1, 0.4, 0.9)
#: Rounding of a truth that is a sum of logarithms.
_CLOSE = 1e-6


def true_shares(shape: tuple[int, int], strength: float) -> np.ndarray:
    """Skewed margins, on the line from independence to the strongest association they allow."""
    rows, columns = np.linspace(1, 2, shape[0]), np.linspace(2, 1, shape[1])
    rows, columns = rows / rows.sum(), columns / columns.sum()
    reached = np.minimum(np.cumsum(rows)[:, None], np.cumsum(columns))
    strongest = np.diff(np.diff(reached, axis=0, prepend=0), axis=1, prepend=0)
    return (1 - strength) * np.outer(rows, columns) + strength * strongest


def true_value(measure: Measure, shares: np.ndarray) -> float:
    return float((measure.population or measure.statistic)(shares * 1e9))


def hits(
    shares: np.ndarray, n: int, trials: int, draws: int, rng: np.random.Generator
) -> tuple[Counter, Counter]:
    """By measure: how often the inverted and the percentile interval hold the truth."""
    inverted: Counter = Counter()
    percentile: Counter = Counter()
    chosen = [m for m in MEASURES if m.rises]
    truth = {m.name: true_value(m, shares) for m in chosen}
    for _ in range(trials):
        table = rng.multinomial(n, shares.ravel()).reshape(shares.shape)
        shuffled = tables.permuted_tables(table, draws, rng)
        resampled = tables.resampled_tables(table, draws, rng)
        statistic = {
            m.name: m.statistic if m.adjusted is None else m.adjusted(table, shuffled)
            for m in chosen
        }
        found: dict[str, tuple[float, float]] = {}
        for null, path_of in (("shuffled", from_independence), ("equal", from_equal_shares)):
            own = {
                m.name: (statistic[m.name], m.population or m.statistic)
                for m in chosen
                if m.null == null
            }
            found |= inverted_intervals(table, path_of(table), own, draws, rng)
        for name, value in truth.items():
            estimate = float(statistic[name](table))
            low, high = found[name]
            inverted[name] += min(low, estimate) - _CLOSE <= value <= max(high, estimate) + _CLOSE
            low, high = np.quantile(statistic[name](resampled), [0.025, 0.975])
            percentile[name] += min(low, estimate) - _CLOSE <= value <= max(high, estimate) + _CLOSE
    return inverted, percentile


def signed_hits(
    shares: np.ndarray, n: int, trials: int, draws: int, rng: np.random.Generator
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Likewise for measures of attribute values and groups: the share of those whose interval holds
    the truth, that of the least held one, and the share of percentile intervals.
    """
    chosen = [m for m in MEASURES if m.interval is not None]
    truth = {m.name: m.statistic(shares * 1e9) for m in chosen}
    held: dict[str, list[np.ndarray]] = {m.name: [] for m in chosen}
    usual: dict[str, list[np.ndarray]] = {m.name: [] for m in chosen}
    for _ in range(trials):
        table = rng.multinomial(n, shares.ravel()).reshape(shares.shape)
        resampled = tables.resampled_tables(table, draws, rng)
        for measure in chosen:
            value, estimate = truth[measure.name], measure.statistic(table)
            for ends, found in (
                (measure.interval(table, draws, rng), held),
                (tables.interval(measure.statistic(resampled), estimate), usual),
            ):
                low, high = np.fmin(ends[0], estimate), np.fmax(ends[1], estimate)
                inside = (low - _CLOSE <= value) & (value <= high + _CLOSE)
                found[measure.name].append(np.where(np.isnan(estimate), np.nan, inside))
    each = {k: np.nanmean(v, axis=0) for k, v in held.items()}
    return (
        {k: float(v.mean()) for k, v in each.items()},
        {k: float(v.min()) for k, v in each.items()},
        {k: float(np.nanmean(v)) for k, v in usual.items()},
    )


def signed_report(trials: int, draws: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    names = [m.name for m in MEASURES if m.interval is not None]
    lines = ["| label × attribute values | n | strength | " + " | ".join(names) + " |"]
    lines.append("|---|---|---|" + "---|" * len(names))
    for shape in SHAPES:
        for strength in STRENGTHS:
            for n in SIZES:
                own, least, usual = signed_hits(true_shares(shape, strength), n, trials, draws, rng)
                cells = [f"{own[k]:.3f}, {least[k]:.3f} ({usual[k]:.3f})" for k in names]
                lines.append(f"| {shape[0]} × {shape[1]} | {n} | {strength} | " + " | ".join(cells))
                lines[-1] += " |"
                print(lines[-1], flush=True)
    return lines


def report(trials: int, draws: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    names = [m.name for m in MEASURES if m.rises]
    lines = ["| label × attribute values | n | strength | " + " | ".join(names) + " |"]
    lines.append("|---|---|---|" + "---|" * len(names))
    worst: dict[str, float] = {}
    start = time.monotonic()
    for shape in SHAPES:
        for strength in STRENGTHS:
            for n in SIZES:
                own, usual = hits(true_shares(shape, strength), n, trials, draws, rng)
                cells = [f"{own[k] / trials:.3f} ({usual[k] / trials:.3f})" for k in names]
                lines.append(f"| {shape[0]} × {shape[1]} | {n} | {strength} | " + " | ".join(cells))
                lines[-1] += " |"
                worst |= {k: min(worst.get(k, 1), own[k] / trials) for k in names}
                print(lines[-1], flush=True)
    low, high = proportion_confint(round(0.95 * trials), trials, method="wilson")
    seconds = time.monotonic() - start
    return "\n".join(
        [
            "# Coverage of 95% intervals of association\n",
            f"`python -m benchmarks.interval_coverage --trials {trials} --draws {draws}`: "
            f"{trials} tables for each row, {seconds:.0f} s on one core. Strength 0 is "
            "independence, 1 the strongest association of these margins. Share of tables whose "
            "interval holds the true value: the interval that HEML reports, from inverted tests; "
            "in brackets the percentile bootstrap, widened to hold its estimate. An interval that "
            f"holds the truth 95% of the time lies between {low:.3f} and {high:.3f} in 95% of the "
            "rows. At strength 0 the true value is the smallest there is, and an interval that "
            "rejects on one side only holds it 97.5% of the time. The distances to equal shares "
            "are not 0 there: the margins are skewed.\n",
            *lines,
            "",
            "Lowest: " + ", ".join(f"{k} {v:.3f}" for k, v in worst.items()) + ".",
            "",
            "## Measures of attribute values and groups\n",
            "The same tables. Mean over attribute values or groups, the least held one, and in "
            "brackets the mean of percentile bootstraps. Class imbalance has Wilson's interval, "
            "the difference in proportions Newcombe's, nPMI inverts tests.\n",
            *signed_report(trials, draws, seed),
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200, help="tables of each row")
    parser.add_argument("--draws", type=int, default=250, help="tables for each strength")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    text = report(arguments.trials, arguments.draws, arguments.seed)
    if arguments.out is None:
        print(text)
        return
    with write_aside(arguments.out) as aside:
        aside.write_text(text)


if __name__ == "__main__":
    main()
