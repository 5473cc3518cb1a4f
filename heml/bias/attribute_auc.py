"""Attribute AUC: how well an attribute is predicted from an embedding among one label's records.

Measured as AUC: 0.5 is chance whatever the attribute's frequencies, so no majority baseline enters.
With more than two attribute values it is the mean over values of each against the rest (macro
one-vs-rest), so that a rare value counts as much as a frequent one. Records are compared only
within their label and fold, by a classifier that saw neither.

The classifier is a linear discriminant with a closed form, so that the permutation test can fit it
anew for every shuffle. Shuffling only the records that are judged would not do: folds take turns at
fitting and judging, so their chance agreements are the same ones counted twice, and pure noise
would come out significant more than twice as often as it should.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax
from scipy.stats import rankdata

#: Larger strata are thinned to this many records: enough for an AUC known to one per cent.
MAX_STRATUM = 4000
#: Shrinkage of the correlation of the embedding's dimensions toward none.
SHRINKAGE = 0.1
#: Scores (records × shuffles × values) held at a time.
MOST_SCORES = 4_000_000


@dataclass(frozen=True)
class _Stratum:
    """Records of one label and fold, with the draws that all nodes share.

    Parameters
    ----------
    rows : int array (n,)
        Places among the judged records.
    label, fold : int
    weights : int16 array (B, n)
        How often each record is in each bootstrap resample.
    """

    rows: np.ndarray
    label: int
    fold: int
    weights: np.ndarray


class AttributeAuc:
    """Attribute AUC of any node: the AUC, its bootstrap draws and its null draws.

    Resamples and permutations are drawn once and shared by all nodes.

    Parameters
    ----------
    labels, attributes, fold : int arrays (N,)
        Codes from 0; a fold or attribute of -1 leaves a record out.
    resamples : int
        Bootstrap resamples, drawn within label, fold and attribute value.
    permutations : int
        Of the attribute values within label and fold.
    seed : int
    """

    def __init__(
        self,
        labels: np.ndarray,
        attributes: np.ndarray,
        fold: np.ndarray,
        resamples: int = 500,
        permutations: int = 500,
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        self._draws = resamples, permutations
        strata = np.where(
            (fold >= 0) & (attributes >= 0), labels * (fold.max(initial=0) + 1) + fold, -1
        )
        kept = [_thinned(np.flatnonzero(strata == s), rng) for s in np.unique(strata[strata >= 0])]
        #: Records that fit and are judged, int array (n,).
        self.rows = np.concatenate(kept) if kept else np.zeros(0, int)
        self._attributes = attributes[self.rows]
        self._labels, self._fold = labels[self.rows], fold[self.rows]
        self._shuffled = np.tile(self._attributes.astype(np.int16), (permutations, 1))
        self._strata: list[_Stratum] = []
        start = 0
        for own in kept:
            places = np.arange(start, start + len(own))
            start += len(own)
            values = self._attributes[places]
            self._shuffled[:, places] = rng.permuted(self._shuffled[:, places], axis=1)
            if len(np.unique(values)) > 1:
                weights = _resamples(values, resamples, rng)
                first = places[0]
                self._strata.append(
                    _Stratum(places, int(self._labels[first]), int(self._fold[first]), weights)
                )
        used = [np.unique(self._attributes[s.rows]) for s in self._strata]
        values = np.unique(np.concatenate(used)) if used else np.zeros(0, int)
        # Of two values, the first one's comparisons are the second one's, mirrored.
        self._values = values[1:] if len(values) == 2 else values

    @property
    def measurable(self) -> bool:
        """Whether any two records can be compared."""
        return len(self._values) > 0

    def measure(self, features: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The AUC in [0, 1], its draws (B,), and null draws (T,).

        Parameters
        ----------
        features : float array (K, N, D)
            In the space of each fold's network.

        Raises
        ------
        ValueError
            If no two records can be compared.
        """
        if not self.measurable:
            raise ValueError("no label has two records of different attribute values in one fold")
        times = self._draws[1]
        tallies = _Tally(times + 1), _Tally(self._draws[0])
        own = np.concatenate([self._attributes[None], self._shuffled])
        for fold in np.unique(self._fold):
            judge = _Discriminant(
                features[fold][self.rows], self._labels, self._fold != fold, int(own.max()) + 1
            )
            for stratum in (s for s in self._strata if s.fold == fold):
                scores = judge.scores(own, stratum.rows)
                self._compare(stratum, own[:, stratum.rows], scores, *tallies)
        all_draws, resampled = tallies[0].mean(self._values), tallies[1].mean(self._values)
        return float(all_draws[0]), resampled, all_draws[1:]

    def _compare(
        self, stratum: _Stratum, own: np.ndarray, scores: np.ndarray, fits: _Tally, drawn: _Tally
    ) -> None:
        for value in self._values:
            mine = own == value
            count = int(mine[0].sum())
            if count in (0, mine.shape[1]):
                continue
            ranks = rankdata(scores[..., value], axis=1)
            wins = (ranks * mine).sum(axis=1) - count * (count + 1) / 2
            fits.add(value, wins, np.full(len(wins), count * (mine.shape[1] - count)))
            drawn.add(value, *weighted_wins(scores[0, :, value], mine[0], stratum.weights))


class _Tally:
    """Comparisons won and made, per attribute value and draw."""

    def __init__(self, draws: int) -> None:
        self._draws = draws
        self._won: dict[int, np.ndarray] = {}
        self._made: dict[int, np.ndarray] = {}

    def add(self, value: int, won: np.ndarray, made: np.ndarray) -> None:
        zero = np.zeros(self._draws)
        self._won[value] = self._won.get(value, zero) + won
        self._made[value] = self._made.get(value, zero) + made

    def mean(self, values: np.ndarray) -> np.ndarray:
        """AUC averaged over values, float array (draws,)."""
        return np.mean([self._won[v] / np.maximum(self._made[v], 1) for v in values], axis=0)


class _Discriminant:
    """Linear discriminant of attribute values within labels, fitted for many groupings at once.

    Embeddings are taken relative to their label's mean, so the label gives no hint of the
    attribute; the shrunken covariance is that of all records of a label, which no grouping changes.

    Parameters
    ----------
    features : float array (n, D)
    labels : int array (n,)
    fit : bool array (n,)
        Records to fit on.
    values : int
        Number of attribute values.
    """

    def __init__(
        self, features: np.ndarray, labels: np.ndarray, fit: np.ndarray, values: int
    ) -> None:
        x = features.astype(float)
        for label in np.unique(labels):
            own = labels == label
            x[own] -= x[own & fit].mean(axis=0) if (own & fit).any() else x[own].mean(axis=0)
        scale = x[fit].std(axis=0) if fit.any() else np.ones(x.shape[1])
        self._x = (x / np.where(scale > 1e-9, scale, np.inf)).astype(np.float32)
        self._fit, self._values = fit, values
        fitted = self._x[fit].astype(float)
        correlation = fitted.T @ fitted / max(len(fitted), 1) + SHRINKAGE * np.eye(x.shape[1])
        self._precision = np.linalg.inv(correlation).astype(np.float32)

    def scores(self, attributes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """How much each record looks like each value.

        Parameters
        ----------
        attributes : int array (G, n)
            Each row is one grouping to fit.
        rows : int array (r,)
            Records to judge.

        Returns
        -------
        float32 array (G, r, values)
        """
        chunk = max(MOST_SCORES // max(len(rows) * self._values, 1), 1)
        parts = [
            self._scores(attributes[i : i + chunk], rows) for i in range(0, len(attributes), chunk)
        ]
        return np.concatenate(parts)

    def _scores(self, attributes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        fitted, chosen = self._x[self._fit], attributes[:, self._fit]
        means = np.empty((self._values, len(attributes), fitted.shape[1]), np.float32)
        for value in range(self._values):
            mine = (chosen == value).astype(np.float32)
            means[value] = mine @ fitted / np.maximum(mine.sum(axis=1, keepdims=True), 1)
        directions = means @ self._precision
        offset = (means * directions).sum(axis=-1) / 2
        logits = directions @ self._x[rows].T - offset[..., None]
        if self._values == 2:
            difference = logits[1] - logits[0]
            return np.stack([-difference, difference], axis=-1)
        return softmax(np.moveaxis(logits, 0, -1), axis=-1)


def _thinned(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(rows) <= MAX_STRATUM:
        return rows
    return np.sort(rng.choice(rows, MAX_STRATUM, replace=False))


def _resamples(attributes: np.ndarray, times: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap counts int16 (times, n), drawn within each attribute value."""
    counts = np.empty((times, len(attributes)), np.int16)
    for value in np.unique(attributes):
        rows = np.flatnonzero(attributes == value)
        counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), times)
    return counts


def weighted_wins(
    scores: np.ndarray, own: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Comparisons of a value's records with all other records, where records count several times.

    Parameters
    ----------
    scores : float array (n,)
    own : bool array (n,)
    weights : int array (B, n)

    Returns
    -------
    won, made : float arrays (B,)
        Ties are won by half.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    below = np.searchsorted(ordered, ordered, side="left")
    upto = np.searchsorted(ordered, ordered, side="right")
    weights = weights[:, order].astype(float)
    mine = own[order]
    others = np.zeros((len(weights), len(order) + 1))
    np.cumsum(np.where(mine, 0, weights), axis=1, out=others[:, 1:])
    beaten = (others[:, below[mine]] + others[:, upto[mine]]) / 2
    made = weights[:, mine].sum(axis=1) * others[:, -1]
    return (weights[:, mine] * beaten).sum(axis=1), made
