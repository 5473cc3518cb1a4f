"""A hierarchy proposed from trained leaves: which segments say the same, and which touch.

Two leaves are alike if their distances rank pairs of images alike (representational similarity
analysis, Kriegeskorte et al., 2008) and if their segments are adjacent. Agglomerative clustering
by both makes a tree; a person reviews it as a fragment of a recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy.cluster.hierarchy import ClusterNode, linkage, to_tree
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from heml.images.images_table import image_index
from heml.metrics.artifacts import load_node, measured_images
from heml.metrics.views import union
from heml.segmentation.masks import SegmentReader
from heml.storage.store import Store
from heml.taxonomy import BACKGROUND, Taxonomy
from heml.tree.metric_tree import read_taxonomy
from heml.tree.pairs import Pairs, held_out_pairs

#: Held-out pairs and train images that are looked at.
PAIRS, IMAGES = 20_000, 200
#: Fewer pairs that have both leaves say nothing of their agreement.
FEWEST_PAIRS = 50
#: Longest side in pixels at which borders are counted.
_SIDE = 160


@dataclass(frozen=True)
class Likeness:
    """How alike leaves are.

    Parameters
    ----------
    leaves : tuple of str
    agreement : float array (L, L)
        Spearman correlation of the leaves' distances over held-out pairs, negative ones as 0; nan
        where too few pairs have both.
    adjacency : float array (L, L)
        Common border as a share of the shorter of the two borders, where both are present.
    pairs, images : int
        That were looked at.
    """

    leaves: tuple[str, ...]
    agreement: np.ndarray
    adjacency: np.ndarray
    pairs: int
    images: int

    def joined(self, weight: float) -> np.ndarray:
        """Both in one, float (L, L) in [0, 1]; `weight` is adjacency's share."""
        return (1 - weight) * np.nan_to_num(self.agreement) + weight * self.adjacency


def measure_likeness(folder: str | Path, pairs: int = PAIRS, images: int = IMAGES) -> Likeness:
    """Agreement and adjacency of all leaves of a store.

    Parameters
    ----------
    folder : path
        The store of a recipe, with a finished metric tree.

    Raises
    ------
    FileNotFoundError
        If a stage has not run.
    """
    store = Store(Path(folder))
    taxonomy = read_taxonomy(store.metric_tree)
    leaves = tuple(taxonomy.leaves)
    metrics = [load_node(store, leaf) for leaf in leaves]
    index = measured_images(image_index(store, []), metrics[0])
    labels = np.unique(index["label"], return_inverse=True)[1]
    sampled = held_out_pairs(metrics, labels, labels, pairs, seed=0)
    train = index.loc[index["split"] == "train", "image_id"].tolist()
    step = max(len(train) // images, 1)
    reader = SegmentReader(store)
    chosen = train[::step][:images]
    return Likeness(
        leaves,
        agreement(sampled),
        adjacency((leaf_map(reader.masks(image), taxonomy) for image in chosen), len(leaves)),
        len(sampled.first),
        len(chosen),
    )


def agreement(pairs: Pairs) -> np.ndarray:
    """Spearman correlation of every two nodes' distances, float (L, L); see `Likeness`."""
    count = pairs.distance.shape[1]
    result = np.full((count, count), np.nan)
    np.fill_diagonal(result, 1.0)
    for i in range(count):
        for j in range(i):
            both = pairs.both[:, i] & pairs.both[:, j]
            first, second = pairs.distance[both, i], pairs.distance[both, j]
            if len(first) < FEWEST_PAIRS or not (np.ptp(first) and np.ptp(second)):
                continue
            correlation = np.corrcoef(rankdata(first), rankdata(second))[0, 1]
            result[i, j] = result[j, i] = max(float(correlation), 0.0)
    return result


def leaf_map(masks: Mapping[str, np.ndarray], taxonomy: Taxonomy) -> np.ndarray:
    """Which leaf each pixel belongs to, int (h, w) with h, w at most `_SIDE`; -1 for none."""
    if not masks:
        return np.full((1, 1), -1)
    height, width = next(iter(masks.values())).shape
    step = -(-max(height, width) // _SIDE)
    result = np.full((-(-height // step), -(-width // step)), -1)
    for number, leaf in enumerate(taxonomy.leaves):
        mask = union(masks, taxonomy.classes_of(leaf))
        if mask is not None:
            result[mask[::step, ::step]] = number
    return result


def adjacency(maps: Iterable[np.ndarray], count: int) -> np.ndarray:
    """Common border of every two leaves as a share of the shorter border.

    Parameters
    ----------
    maps : iterable of int arrays (h, w)
        Leaf of each pixel, -1 for none; pixels touch at their sides.
    count : int
        Number of leaves, L.

    Returns
    -------
    float array (L, L)
        In [0, 1], summed over the maps that have both; the diagonal is 1.
    """
    shared = np.zeros((count, count))
    border = np.zeros((count, count))  # of the row's leaf, where the column's is present too
    for leaves in maps:
        touching = np.zeros((count + 1, count + 1))
        for one, other in ((leaves[:, :-1], leaves[:, 1:]), (leaves[:-1], leaves[1:])):
            np.add.at(touching, (one.ravel(), other.ravel()), 1)  # -1 is the last row and column
        touching += touching.T
        np.fill_diagonal(touching, 0)
        present = np.isin(np.arange(count), leaves)
        shared += touching[:count, :count]
        border += np.outer(touching.sum(axis=1)[:count] * present, present)
    shorter = np.minimum(border, border.T)
    result = np.divide(shared, shorter, out=np.zeros_like(shared), where=shorter > 0)
    np.fill_diagonal(result, 1.0)
    return np.minimum(result, 1.0)


def propose(
    likeness: Likeness, weight: float = 0.5, tolerance: float = 0.05
) -> tuple[dict[str, list[str]], dict[str, float]]:
    """A tree over the leaves by average linkage.

    Parameters
    ----------
    likeness : Likeness
    weight : float
        Share of adjacency, in [0, 1]; the rest is agreement.
    tolerance : float
        A branch whose joined likeness is within this of its parent's is merged into the parent:
        every branch costs a network.

    Returns
    -------
    tree : dict of branch to children
        The root last. A leaf named `background` stands directly below the root, as in every
        built-in taxonomy: it touches everything.
    likeness : dict of branch to float
        Mean likeness of what each branch joins.

    Raises
    ------
    ValueError
        If weight or tolerance are outside [0, 1].
    """
    for name, value in (("weight", weight), ("tolerance", tolerance)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be within 0 and 1, got {value}")
    names = list(likeness.leaves)
    root = "image" if "image" not in names else "whole_image"
    alone = [name for name in names if name == BACKGROUND and len(names) > 1]
    rest = [number for number, name in enumerate(names) if name not in alone]
    alike = likeness.joined(weight)[np.ix_(rest, rest)]
    within = [names[number] for number in rest]
    if len(within) <= 2:
        mean = float(alike[0, -1]) if len(within) == 2 else 1.0
        return {root: [*alone, *within]}, {root: mean}
    apart = 1 - alike
    np.fill_diagonal(apart, 0)
    top = to_tree(linkage(squareform(apart, checks=False), method="average"))
    builder = _Builder(within, alike, tolerance, taken={*names, root})
    children = builder.children(top)
    tree = {**builder.tree, root: [*alone, *children]}
    return tree, {**builder.likeness, root: 1 - top.dist}


class _Builder:
    """Turns scipy's binary tree into branches with any number of children."""

    def __init__(
        self, names: Sequence[str], alike: np.ndarray, tolerance: float, taken: set[str]
    ) -> None:
        self.tree: dict[str, list[str]] = {}
        self.likeness: dict[str, float] = {}
        self._names = names
        self._alike = alike
        self._tolerance = tolerance
        self._taken = taken

    def children(self, cluster: ClusterNode) -> list[str]:
        """Names of a cluster's children; their own branches are added before."""
        result = []
        # In the order of the leaves, whichever way scipy turned the branches.
        for part in sorted((cluster.get_left(), cluster.get_right()), key=_first):
            if part.is_leaf():
                result.append(self._names[part.get_id()])
            elif cluster.dist - part.dist <= self._tolerance:
                result += self.children(part)
            else:
                below = self.children(part)
                name = self._name(part.pre_order())
                self.tree[name] = below
                self.likeness[name] = 1 - part.dist
                result.append(name)
        return result

    def _name(self, members: list[int]) -> str:
        """After both leaves, or after the leaf that is most like all others."""
        if len(members) == 2:
            wanted = "_".join(self._names[number] for number in sorted(members))
        else:
            central = members[int(self._alike[np.ix_(members, members)].sum(axis=1).argmax())]
            wanted = f"{self._names[central]}_attribute"
        name, number = wanted, 2
        while name in self._taken:
            name, number = f"{wanted}_{number}", number + 1
        self._taken.add(name)
        return name


def _first(cluster: ClusterNode) -> int:
    return int(min(cluster.pre_order()))


def recipe_fragment(folder: str | Path, weight: float = 0.5, tolerance: float = 0.05) -> str:
    """The proposal for a store as the `taxonomy` part of a recipe, with comments.

    Raises
    ------
    FileNotFoundError
        If a stage has not run.
    """
    likeness = measure_likeness(folder)
    taxonomy = read_taxonomy(Store(Path(folder)).metric_tree)
    tree, joined = propose(likeness, weight, tolerance)
    content: dict[str, object] = {
        "leaves": {leaf: list(classes) for leaf, classes in taxonomy.leaves.items()},
        "tree": tree,
    }
    if taxonomy.ignored:
        content["ignored"] = list(taxonomy.ignored)
    comments = [
        f"Proposed from the leaves of '{taxonomy.name}': agreement of distances over "
        f"{likeness.pairs} held-out pairs,",
        f"common borders in {likeness.images} train images (share {weight:g}), branches within "
        f"{tolerance:g} joined.",
        "Branches are named after their leaves: rename them. Mean likeness of what they join:",
        *(f"  {branch}: {value:.2f}" for branch, value in joined.items()),
    ]
    text = yaml.safe_dump({"taxonomy": content}, sort_keys=False, default_flow_style=None, width=98)
    return "".join(f"# {line}\n" for line in comments) + text
