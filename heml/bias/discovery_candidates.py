"""Attributes that a leaf could give: what it looks like to the label's models, its color, its
presence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from heml.bias.bias_settings import BiasSettings
from heml.bias.clusters import Clusters, find_clusters
from heml.bias.leaf_appearance import COLOR
from heml.images.groups import DISCOVERED, MISSING

#: A leaf that this share of the train images has, or lacks, has no presence attribute; one that
#: fewer have is not guessed by.
RARE = 0.05
#: Images named per value.
EXEMPLARS = 6


@dataclass(frozen=True)
class Candidate:
    """An attribute that one leaf could give.

    Parameters
    ----------
    node : str
    aspect : str
        One of `data_contracts.discovered_groups.ASPECTS`.
    values : object array (N,) of str
        Of every image; `MISSING` where the image does not show the leaf.
    names : list of str
        The values, most frequent in the train split first.
    typicality : float array (N,)
        How typical each image is of its value; larger is more.
    silhouette : float or None
        Of clusters.
    """

    node: str
    aspect: str
    values: np.ndarray
    names: list[str]
    typicality: np.ndarray
    silhouette: float | None = None

    @property
    def attribute(self) -> str:
        return DISCOVERED + self.node

    def exemplars(self, ids: np.ndarray, among: np.ndarray) -> list[list[str]]:
        """Images of each value, most typical first.

        Parameters
        ----------
        ids : object array (N,)
        among : bool array (N,)
            Images that may be named.
        """
        found = []
        for name in self.names:
            own = np.flatnonzero(among & (self.values == name))
            order = own[np.argsort(-self.typicality[own], kind="stable")]
            found.append(ids[order[:EXEMPLARS]].tolist())
        return found


def candidates(
    leaf: str,
    appearance: np.ndarray,
    guesses: np.ndarray,
    labels: Sequence[str],
    index: pd.DataFrame,
    fold: np.ndarray,
    bias: BiasSettings,
) -> Iterator[Candidate]:
    """The attributes that one leaf could give.

    Parameters
    ----------
    appearance : float array (N, D)
        `leaf_appearance.describe` of each image; NaN where the leaf is absent.
    guesses : float array (N, L)
        Probabilities of the labels from the leaf alone, never by models that saw the image.
    labels : sequence of str
        Of the L columns.
    index : DataFrame
        Columns image_id and split.
    fold : int array (N,)
        Cross-fitting folds, -1 outside the train split and outside the metrics' sample.
    """
    present = ~np.isnan(appearance).any(axis=1)
    train = (index["split"] == "train").to_numpy()
    share = present[train].mean()
    if share >= RARE:
        yield from _guessed(leaf, guesses, labels, present, train)
    colors = appearance[:, COLOR]
    seen = np.flatnonzero(present & (fold >= 0))
    clusters = find_clusters(colors[seen], fold[seen], bias.max_clusters, bias.seed)
    if clusters is not None:
        yield _colored(leaf, colors, present, train, index["image_id"].to_numpy(object), clusters)
    if RARE <= share <= 1 - RARE:
        values = np.where(present, "present", "absent").astype(object)
        yield Candidate(leaf, "presence", values, _by_frequency(values, train), np.ones(len(index)))


def _guessed(
    leaf: str, guesses: np.ndarray, labels: Sequence[str], present: np.ndarray, train: np.ndarray
) -> Iterator[Candidate]:
    names = np.array([f"as usual for {label}" for label in labels], object)
    values = np.where(present, names[guesses.argmax(axis=1)], MISSING).astype(object)
    used = _by_frequency(values, train)
    if len(used) > 1:
        yield Candidate(leaf, "guess", values, used, guesses.max(axis=1))


def _colored(
    leaf: str,
    colors: np.ndarray,
    present: np.ndarray,
    train: np.ndarray,
    ids: np.ndarray,
    clusters: Clusters,
) -> Candidate:
    distances = np.full((len(colors), len(clusters.centers)), np.inf)
    distances[present] = clusters.distances(colors[present])
    nearest, distance = distances.argmin(axis=1), distances.min(axis=1)
    values = np.full(len(ids), MISSING, object)
    for number in range(len(clusters.centers)):
        own = present & (nearest == number)
        known = np.flatnonzero(own & train)
        typical = known[distance[known].argmin()] if len(known) else None
        values[own] = f"like {ids[typical]}" if typical is not None else MISSING
    names = _by_frequency(values, train)
    return Candidate(leaf, "color", values, names, -distance, clusters.silhouette)


def _by_frequency(values: np.ndarray, train: np.ndarray) -> list[str]:
    counts = pd.Series(values[train & (values != MISSING)]).value_counts()
    return sorted(counts.index, key=lambda name: (-counts[name], name))
