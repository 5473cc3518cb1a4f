"""Does an attribute mislead the models of the label, and would the rest of the image know better?

A record conflicts with an attribute if its value usually comes with other labels. The attribute
misleads if models get conflicting records wrong more often than aligned ones of the same label, as
the training errors of Liu et al., Just Train Twice, ICML 2021, concentrate on conflicting records.
That alone does not tell a shortcut from the label itself: where a mouth is hard to read, everybody
errs who reads mouths. So the other leaves are asked, weighted such that all groups of label and
value count the same: if they know the label of conflicting records, the attribute was not needed;
if nobody but the segment knows, it carries the label and is no bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from heml.bias.accuracy_gap import AccuracyGap
from heml.bias.label_guess import LabelGuess
from heml.bias.tables import cramers_v, independent, p_value, permuted_tables
from heml.bias.vote_weights import balanced_weights, cross_fitted

#: An attribute with fewer conflicting train records is not judged, nor one whose conflicting
#: records are of one label, but for fewer than `FEWEST_OF_LABEL`: a dress makes a photo one of a
#: dress, and only those of skirts would conflict.
FEWEST_CONFLICTING, FEWEST_OF_LABEL = 4, 2
#: Permuted records (records × permutations) held at a time.
MOST_PERMUTED = 4_000_000


@dataclass(frozen=True)
class Witnesses:
    """What is known of the label of every train record of the metrics' sample, all out of fold.

    Parameters
    ----------
    labels, fold : int arrays (n,)
    leaves : dict of str to LabelGuess
        Of each leaf alone.
    present : dict of str to bool array (n,)
    whole : int array (n,)
        Labels that the whole image's metric guesses.
    """

    labels: np.ndarray
    fold: np.ndarray
    leaves: Mapping[str, LabelGuess]
    present: Mapping[str, np.ndarray]
    whole: np.ndarray

    @property
    def count(self) -> int:
        """Label values."""
        return next(iter(self.leaves.values())).probabilities.shape[1]

    def of_leaf(self, leaf: str) -> np.ndarray:
        """Probabilities of the labels from what a leaf looks like and from whether it is there,
        labels equally probable beforehand, float array (n, L)."""
        says = self.leaves[leaf].probabilities * (self._presence_votes(leaf) + 1 / self.count)
        return np.asarray(says / says.sum(axis=1, keepdims=True))

    def _presence_votes(self, leaf: str) -> np.ndarray:
        """Label shares among the records of other folds that have the leaf, or lack it, as they
        would be if labels were equally frequent; less chance; float array (n, L)."""
        votes = np.zeros((len(self.labels), self.count))
        for f in np.unique(self.fold):
            fit = self.fold != f
            every = np.bincount(self.labels[fit], minlength=self.count) + self.count
            for state in (True, False):
                there = self.present[leaf] == state
                share = (np.bincount(self.labels[fit & there], minlength=self.count) + 1) / every
                votes[~fit & there] = share / share.sum() - 1 / self.count
        return votes

    @cached_property
    def _votes(self) -> tuple[list[str], np.ndarray]:
        """Owners of the votes, and the votes: guesses of each leaf, and what its presence says."""
        owners, votes = [], []
        for leaf, guess in self.leaves.items():
            owners.append(leaf)
            votes.append(guess.probabilities - 1 / self.count)
            if 0 < self.present[leaf].sum() < len(self.labels):
                owners.append(leaf)
                votes.append(self._presence_votes(leaf))
        return owners, np.stack(votes, axis=1)

    @cached_property
    def joined(self) -> np.ndarray:
        """Labels that all leaves together guess, int array (n,)."""
        weights = balanced_weights(self.labels)
        return cross_fitted(self._votes[1], self.labels, self.fold, weights).argmax(axis=1)

    def without(self, leaf: str, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Labels that the other leaves guess of some records when all groups count the same.

        Parameters
        ----------
        codes : int array (n,)
            Attribute values.
        rows : int array (m,)

        Returns
        -------
        int array (m,)
        """
        owners, votes = self._votes
        kept = [place for place, owner in enumerate(owners) if owner != leaf]
        if not kept:
            return np.full(len(rows), -1)
        weights = balanced_weights(self.labels[rows], codes[rows])
        own = votes[rows][:, kept]
        return cross_fitted(own, self.labels[rows], self.fold[rows], weights).argmax(axis=1)


@dataclass(frozen=True)
class Judged:
    """What witnesses say of the records that have a value of one attribute.

    Parameters
    ----------
    labels, codes, fold : int arrays (m,)
    aligned : bool array (m,)
    own : float array (m,)
        Probability of the true label by the leaf alone.
    plain, joined, whole : bool arrays (m,)
        Whether the label is guessed rightly by the leaf's appearance, by all leaves, by the whole
        image.
    others : int array (m,)
        Labels that the other leaves guess if all groups count the same.
    """

    labels: np.ndarray
    codes: np.ndarray
    fold: np.ndarray
    aligned: np.ndarray
    own: np.ndarray
    plain: np.ndarray
    joined: np.ndarray
    whole: np.ndarray
    others: np.ndarray

    def measures(self, rows: np.ndarray | slice = slice(None)) -> dict[str, float]:
        """Strength of the evidence on some of the records.

        Returns
        -------
        dict of str to float
            `cramers_v` with the label; how much likelier the label is guessed wrongly on
            conflicting records than on aligned ones of the same label by the leaf alone
            (`misled_own`), by all leaves (`misled_joined`) and by the whole image
            (`misled_whole`), of which the latter two count by their skill; the mean of the three
            (`misled`); the skill of the other leaves over all groups (`others`); and the product
            of association, `misled` and `others` (`evidence`).
        """
        labels, codes, aligned = self.labels[rows], self.codes[rows], self.aligned[rows]
        table = _table(labels, codes)
        gaps = {"misled_own": _gap(self.own[rows], aligned, labels)}
        for name in ("joined", "whole"):
            right = getattr(self, name)[rows]
            gaps[f"misled_{name}"] = _gap(right, aligned, labels) * _skill(right, labels)
        misled = float(np.mean(list(gaps.values())))
        others = _skill(self.others[rows] == labels, labels, codes)
        v = float(cramers_v(table))
        evidence = v * max(misled, 0) * others
        return {"cramers_v": v, **gaps, "misled": misled, "others": others, "evidence": evidence}

    def p(self, permutations: int, seed: int) -> float:
        """p-value that the attribute goes with the label, and misleads, and the rest knows better.

        All three must hold, so the largest p-value counts (intersection-union test; Berger,
        Technometrics 24, 1982). That it misleads may show in the leaf's appearance, in all leaves
        or in the whole image: the smallest of the three p-values counts three times.
        """
        rng = np.random.default_rng(seed)
        table = _table(self.labels, self.codes)
        linked = p_value(cramers_v(table), cramers_v(permuted_tables(table, permutations, rng)))
        models = self.plain, self.joined, self.whole
        # As many more draws as p-values are multiplied by: their steps stay as fine.
        gap = AccuracyGap(self.aligned, self.labels, permutations * len(models), seed)
        if not gap.measurable:
            return 1.0
        fooled: list[float] = []
        for right in models:
            observed, _, null = gap.gap(right)
            fooled.append(float(p_value(observed, null)))
        known = self._known_p(permutations, rng)
        return max(float(linked), min(1.0, len(fooled) * min(fooled)), known)

    def _known_p(self, permutations: int, rng: np.random.Generator) -> float:
        """Of the other leaves' accuracy over groups, with labels shuffled among the records of one
        attribute value."""
        table = _table(self.labels, self.codes)
        weight = 1 / np.maximum(table, 1) / (table > 0).sum()
        observed = (weight[self.labels, self.codes] * (self.others == self.labels)).sum()
        null, most = [], max(MOST_PERMUTED // len(self.labels), 1)
        for start in range(0, permutations, most):
            shuffled = np.tile(self.labels, (min(most, permutations - start), 1))
            for code in np.unique(self.codes):
                own = np.flatnonzero(self.codes == code)
                shuffled[:, own] = rng.permuted(shuffled[:, own], axis=1)
            right = shuffled == self.others
            null.append((weight[shuffled, self.codes] * right).sum(axis=1))
        return float(p_value(observed, np.concatenate(null)))

    def errors(self, which: str) -> list[dict[str, Any]]:
        """Error rate of `joined` or `whole` in every group, with a Wilson interval.

        Returns
        -------
        list of dict
            `label`, `code`, `n`, `rate`, `low`, `high`.
        """
        right, found = getattr(self, which), []
        for label, code in np.unique(np.stack([self.labels, self.codes], axis=1), axis=0):
            own = (self.labels == label) & (self.codes == code)
            n, wrong = int(own.sum()), int((~right[own]).sum())
            low, high = proportion_confint(wrong, n, method="wilson")
            found.append(
                {
                    "label": int(label),
                    "code": int(code),
                    "n": n,
                    "rate": wrong / n,
                    "low": float(low),
                    "high": float(high),
                }
            )
        return found


def judge(witnesses: Witnesses, leaf: str, codes: np.ndarray) -> Judged | None:
    """What all witnesses say of an attribute.

    Parameters
    ----------
    witnesses : Witnesses
    leaf : str
        That the attribute is of.
    codes : int array (n,)
        Attribute values, -1 where there is none.

    Returns
    -------
    Judged or None
        None where nothing can be compared: the attribute has one value, goes with the label in all
        but a few records, or conflicts with one label only.
    """
    rows = np.flatnonzero(codes >= 0)
    labels, own = witnesses.labels[rows], codes[rows]
    if len(np.unique(own)) < 2 or len(np.unique(labels)) < 2:
        return None
    table = _table(labels, own)
    aligned = (table > independent(table) * table.sum())[labels, own]
    of_label = np.bincount(labels[~aligned], minlength=2)
    if of_label.sum() < FEWEST_CONFLICTING or (of_label >= FEWEST_OF_LABEL).sum() < 2:
        return None
    if not aligned.any():
        return None
    guess = witnesses.leaves[leaf]
    return Judged(
        labels,
        own,
        witnesses.fold[rows],
        aligned,
        witnesses.of_leaf(leaf)[rows, labels],
        guess.by_appearance[rows].argmax(axis=1) == labels,
        witnesses.joined[rows] == labels,
        witnesses.whole[rows] == labels,
        witnesses.without(leaf, codes, rows),
    )


def _table(labels: np.ndarray, codes: np.ndarray) -> np.ndarray:
    table = np.zeros((labels.max() + 1, codes.max() + 1), int)
    np.add.at(table, (labels, codes), 1)
    return table


def _gap(value: np.ndarray, aligned: np.ndarray, labels: np.ndarray) -> float:
    """Mean on aligned less mean on conflicting records, within labels, which count with the weights
    of Mantel and Haenszel; 0 where no label has both."""
    lost = weights = 0.0
    for label in np.unique(labels):
        first, second = value[(labels == label) & aligned], value[(labels == label) & ~aligned]
        if len(first) and len(second):
            weight = len(first) * len(second) / (len(first) + len(second))
            lost += weight * float(first.mean() - second.mean())
            weights += weight
    return lost / weights if weights else 0.0


def _skill(right: np.ndarray, labels: np.ndarray, codes: np.ndarray | None = None) -> float:
    """Accuracy over labels, or over groups, on a scale from 0 for chance to 1, not below 0."""
    count = len(np.unique(labels))
    if count < 2:
        return 0.0
    chance = 1 / count
    weights = balanced_weights(labels, labels if codes is None else codes)
    accuracy = float(weights @ right / weights.sum())
    return float(np.clip((accuracy - chance) / (1 - chance), 0, 1))
