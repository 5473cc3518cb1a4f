"""Is what the tree says true? A node is taken out of both images, and the total must follow.

The explanation of a pair says what each node contributes to the total; of a branch, what all nodes
below it contribute. Taking the node's pixels out (neutral, and absent to every node) should lower
the total by that much. It need not do so exactly: the nodes above see the hole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from heml.metrics.views import NEUTRAL
from heml.taxonomy import Taxonomy
from heml.tree.image_records import Records
from heml.tree.metric_tree import Embedded, MetricTree, Which

Image = tuple[np.ndarray, Mapping[str, np.ndarray]]
RESAMPLES = 1000
#: Share of the total from which on a contribution counts as one.
MATTERS = 0.01


@dataclass(frozen=True)
class Removals:
    """What was said and what happened, one entry per pair and removed node.

    Parameters
    ----------
    pair : int array (K,)
    nodes : list of str, length K
    total : dict of similarity to float array (K,)
        Of the pair, before.
    said, happened : dict of similarity to float array (K,)
        Contribution of the node and of all below it, and how much the total fell.
    """

    pair: np.ndarray
    nodes: list[str]
    total: dict[str, np.ndarray]
    said: dict[str, np.ndarray]
    happened: dict[str, np.ndarray]


def without(image: Image, classes: Sequence[str]) -> Image:
    """The image with the pixels of some classes neutral, and their masks gone."""
    pixels, masks = image
    pixels = pixels.copy()
    for name in classes:
        if name in masks:
            pixels[masks[name]] = NEUTRAL
    return pixels, {name: mask for name, mask in masks.items() if name not in classes}


def ancestors(taxonomy: Taxonomy, node: str) -> list[str]:
    """The branches above a node."""
    leaves = set(taxonomy.leaves_of(node))
    return [n for n in taxonomy.tree if n != node and leaves <= set(taxonomy.leaves_of(n))]


def below(taxonomy: Taxonomy, node: str) -> list[str]:
    """A node and all below it."""
    return [node, *(n for child in taxonomy.children(node) for n in below(taxonomy, child))]


def remove_nodes(
    tree: MetricTree, records: Records, pairs: Sequence[tuple[str, str]], nodes: Sequence[str]
) -> Removals:
    """Takes each node out of both images of each pair that has it in one at least."""
    images = [[records[image_id] for image_id in side] for side in zip(*pairs, strict=True)]
    sides = [tree.embed(side) for side in images]
    explained = [tree.explain(a, b) for a, b in zip(*images, strict=True)]
    taxonomy = tree.taxonomy
    before = {which: _totals(tree, sides, which) for which in tree.similarities}
    found: list[tuple[int, str]] = []
    said: dict[str, list[float]] = {which: [] for which in tree.similarities}
    happened: dict[str, list[float]] = {which: [] for which in tree.similarities}
    for node in nodes:
        classes, gone = taxonomy.classes_of(node), below(taxonomy, node)
        # Only the node, what is below and what is above it can change.
        affected = [*gone, *ancestors(taxonomy, node)]
        changed = [
            _replaced(side, tree.embed([without(image, classes) for image in own], affected))
            for side, own in zip(sides, images, strict=True)
        ]
        after = {which: _totals(tree, changed, which) for which in tree.similarities}
        present = sides[0].present[node] | sides[1].present[node]
        for pair in np.flatnonzero(present):
            found.append((int(pair), node))
            shares = {n.node: n.contributions for n in explained[pair].nodes}
            for which in tree.similarities:
                said[which].append(sum(shares[n][which] for n in gone))
                happened[which].append(float(before[which][pair] - after[which][pair]))
    pair_of = np.array([pair for pair, _ in found])
    return Removals(
        pair_of,
        [node for _, node in found],
        {which: totals[pair_of] for which, totals in before.items()},
        {which: np.array(values) for which, values in said.items()},
        {which: np.array(values) for which, values in happened.items()},
    )


def _replaced(side: Embedded, part: Embedded) -> Embedded:
    return Embedded({**side.vectors, **part.vectors}, {**side.present, **part.present})


def _totals(tree: MetricTree, sides: Sequence[Embedded], which: Which) -> np.ndarray:
    return np.diagonal(tree.total_distances(sides[0], sides[1], which)).copy()


def faithfulness(removals: Removals, which: str, seed: int) -> dict[str, Any]:
    """Spearman's rho of said and happened, with 95% intervals.

    Over all removals, and over those that were said to matter: where many nodes have no weight, as
    on simple sets, most contributions are exactly 0, and their order is that of noise. How far the
    total moved there is given beside it.

    The bootstrap draws pairs of images, not removals: those of one pair are no sample of their own.
    """
    said, happened = removals.said[which], removals.happened[which]
    matters = said >= MATTERS * removals.total[which]
    moved = np.abs(happened / removals.total[which])[~matters]
    return {
        "all": _rho_with_interval(removals.pair, said, happened, seed),
        "matter": _rho_with_interval(
            removals.pair[matters], said[matters], happened[matters], seed
        ),
        "rest": len(moved),
        "rest_median": float(np.median(moved)) if len(moved) else 0.0,
        "rest_90": float(np.quantile(moved, 0.9)) if len(moved) else 0.0,
    }


def _rho_with_interval(
    pair: np.ndarray, said: np.ndarray, happened: np.ndarray, seed: int
) -> dict[str, float]:
    rows = [np.flatnonzero(pair == number) for number in np.unique(pair)]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        chosen = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        drawn.append(rho(said[chosen], happened[chosen]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return {
        "rho": rho(said, happened), "low": float(low), "high": float(high),
        "n": len(said), "pairs": len(rows),
    }  # fmt: skip


def rho(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation; nan where one side does not vary."""
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def largest_own_distance(tree: MetricTree, records: Records, ids: Sequence[str]) -> float:
    """The largest distance at any node of any image from itself."""
    explained = [tree.explain(records[i], records[i]) for i in ids]
    return max(node.distance or 0.0 for pair in explained for node in pair.nodes)
