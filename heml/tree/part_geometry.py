"""A hierarchy from where segments lie: parts within wholes, then what touches.

A leaf most of whose border is with one larger leaf is a part of it: a beak within a bird. What
words say ("beak of the bird") counts as well. Wholes that touch are joined by average linkage, as
`heml.tree.propose` joins trained leaves. Needs segments alone, no training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heml.taxonomy import BACKGROUND
from heml.tree.propose import Likeness, propose

#: A part has at least this share of its border with its whole, and its whole this share of the
#: images that have the part.
ENCLOSED, TOGETHER = 0.5, 0.5
#: A leaf that fewer images have is part of nothing: two are no rule.
FEWEST = 3
#: A whole is at least so many times as large as its part, on average.
LARGER = 1.5


@dataclass(frozen=True)
class Geometry:
    """Where leaves lie in some images.

    Parameters
    ----------
    leaves : tuple of str
    touching : float array (L + 1, L + 1)
        Common borders in pixel sides; the last row and column is for pixels of no leaf.
    present : int array (L, L)
        Images that have both; on the diagonal the leaf alone.
    area : float array (L,)
        Mean share of the image where it is present; 0 for a leaf that is nowhere.
    images : int
    """

    leaves: tuple[str, ...]
    touching: np.ndarray
    present: np.ndarray
    area: np.ndarray
    images: int

    def enclosed(self) -> np.ndarray:
        """Share of the row's border that is with the column, float (L, L) in [0, 1]."""
        count = len(self.leaves)
        border = self.touching.sum(1)[:count, None]
        inner = self.touching[:count, :count]
        return np.divide(inner, border, out=np.zeros_like(inner), where=border > 0)


def measure_geometry(maps: Iterable[np.ndarray], leaves: Sequence[str]) -> Geometry:
    """Borders, presence and areas.

    Parameters
    ----------
    maps : iterable of int arrays (h, w)
        Leaf of each pixel, -1 for none, as `heml.tree.propose.leaf_map` gives them.
    leaves : sequence of str
    """
    count = len(leaves)
    touching = np.zeros((count + 1, count + 1))
    present = np.zeros((count, count), int)
    area = np.zeros(count)
    images = 0
    for found in maps:
        images += 1
        for one, other in ((found[:, :-1], found[:, 1:]), (found[:-1], found[1:])):
            np.add.at(touching, (one.ravel(), other.ravel()), 1)  # -1 is the last row and column
        share = np.bincount(found[found >= 0], minlength=count) / found.size
        here = share > 0
        present += np.outer(here, here)
        area += share
    touching += touching.T
    np.fill_diagonal(touching, 0)
    alone = np.diag(present)
    mean = np.divide(area, alone, out=np.zeros(count), where=alone > 0)
    return Geometry(tuple(leaves), touching, present, mean, images)


def said_parts(words: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Leaves whose words say that they are of another leaf: "beak of the bird".

    Parameters
    ----------
    words : mapping of str to sequence of str
        Leaf → words.

    Returns
    -------
    dict of str to str
        Part → whole.
    """
    leaf_of = {text.lower(): leaf for leaf, texts in words.items() for text in texts}
    leaf_of |= {leaf.replace("_", " "): leaf for leaf in words}
    found: dict[str, str] = {}
    for leaf, texts in words.items():
        for text in texts:
            match = re.search(r"\bof (?:the |a |an |its )?(.+)$", text.lower())
            whole = leaf_of.get(match[1]) if match else None
            if whole is not None and whole != leaf and not _leads_to(found, whole, leaf):
                found.setdefault(leaf, whole)
    return found


def seen_parts(geometry: Geometry) -> dict[str, str]:
    """Leaves that lie within another one, part → whole; never within the background.

    What lies within a whole and its parts together is a part of it too: a mouth between lips.
    """
    enclosed, names = geometry.enclosed(), geometry.leaves
    found: dict[str, str] = {}
    while True:
        belongs = np.array(
            [[one == other or _leads_to(found, one, other) for other in names] for one in names]
        )
        # (part, whole): share of the border with a whole and its parts
        within = enclosed @ belongs.astype(float)
        new = _within(geometry, within, found)
        if not new:
            return found
        found |= new


def _within(geometry: Geometry, within: np.ndarray, found: Mapping[str, str]) -> dict[str, str]:
    """Parts that are not found yet, by the share of their border with each whole."""
    names, alone = np.array(geometry.leaves), np.diag(geometry.present)
    new: dict[str, str] = {}
    for part, name in enumerate(geometry.leaves):
        if name == BACKGROUND or name in found or alone[part] < FEWEST:
            continue
        fit = (
            (within[part] >= ENCLOSED)
            & (geometry.present[part] / alone[part] >= TOGETHER)
            & (geometry.area >= LARGER * geometry.area[part])
            & (names != BACKGROUND)
        )
        if fit.any():
            new[name] = geometry.leaves[int(np.where(fit, within[part], -1).argmax())]
    return new


def geometry_tree(
    geometry: Geometry, said: Mapping[str, str] | None = None, tolerance: float = 0.05
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """A tree over the leaves.

    Parameters
    ----------
    geometry : Geometry
    said : mapping of str to str, optional
        Part → whole, as words say; counts before what is seen.
    tolerance : float
        See `heml.tree.propose.propose`.

    Returns
    -------
    tree : dict of branch to children
        The root last.
    reasons : dict of branch to str
        What its children have to do with each other.
    """
    said = dict(said or {})
    whole_of = dict(said)
    for part, whole in seen_parts(geometry).items():
        if part not in said and not _leads_to(whole_of, whole, part):
            whole_of[part] = whole
    names = set(geometry.leaves)
    root = "image" if "image" not in names else "whole_image"
    taken = {*names, root}
    tree: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    enclosed = geometry.enclosed()
    number = {leaf: i for i, leaf in enumerate(geometry.leaves)}

    def grown(leaf: str) -> str:
        """A leaf, or the branch of it and its parts."""
        parts = [part for part in geometry.leaves if whole_of.get(part) == leaf]
        if not parts:
            return leaf
        name = _free(f"{leaf}_with_parts", taken)
        children = [leaf, *map(grown, parts)]
        tree[name] = children
        reasons[name] = ", ".join(
            f"{part} ("
            + ("as its words say" if part in said else "by its border")
            + f", {enclosed[number[part], number[leaf]]:.0%} of it with {leaf})"
            for part in parts
        )
        return name

    tops = [leaf for leaf in geometry.leaves if leaf not in whole_of]
    members = {top: _below(top, whole_of, geometry.leaves) for top in tops}
    groups = {top: grown(top) for top in tops}
    likeness = Likeness(
        tuple(tops), np.full((len(tops), len(tops)), np.nan), _touching(geometry, members), 0,
        geometry.images,
    )  # fmt: skip
    joined, alike = propose(likeness, weight=1.0, tolerance=tolerance)
    for branch, children in joined.items():
        last = branch == list(joined)[-1]
        groups[branch] = root if last else _free(_named(children, geometry, members), taken)
        members[branch] = [leaf for child in children for leaf in members[child]]
        tree[groups[branch]] = [groups[child] for child in children]
        reasons[groups[branch]] = f"common borders: {alike[branch]:.2f}"
    _set_unseen_apart(geometry, tree, reasons, root, taken)
    return tree, reasons


def _named(
    children: Sequence[str],
    geometry: Geometry,
    members: Mapping[str, Sequence[str]],
) -> str:
    """After both leaves, or after the largest one below."""
    if len(children) == 2 and all(child in geometry.leaves for child in children):
        return "_".join(children)
    area = dict(zip(geometry.leaves, geometry.area.tolist(), strict=True))
    below = [leaf for child in children for leaf in members[child]]
    return f"{max(below, key=lambda leaf: area[leaf])}_group"


def _set_unseen_apart(
    geometry: Geometry,
    tree: dict[str, list[str]],
    reasons: dict[str, str],
    root: str,
    taken: set[str],
) -> None:
    """Leaves that no image has get a branch of their own, so that the others can be read."""
    alone = np.diag(geometry.present)
    unseen = [
        leaf
        for leaf, count in zip(geometry.leaves, alone, strict=True)
        if not count and leaf in tree[root]
    ]
    seen = [child for child in tree[root] if child not in unseen]
    if len(unseen) < 2 or not seen:
        return
    name = _free("unseen", taken)
    tree[name] = unseen
    reasons[name] = f"in none of the {geometry.images} images: move them"
    reasons[root] = reasons.pop(root)
    tree[root] = [*seen, name]
    tree[root] = tree.pop(root)


def _touching(geometry: Geometry, members: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Common border of every two groups as a share of the shorter border, float (G, G)."""
    count = len(geometry.leaves)
    number = {leaf: i for i, leaf in enumerate(geometry.leaves)}
    belongs = np.zeros((len(members), count + 1))
    for row, leaves in enumerate(members.values()):
        belongs[row, [number[leaf] for leaf in leaves]] = 1
    between = belongs @ geometry.touching @ belongs.T
    border = belongs @ geometry.touching.sum(1) - np.diag(between)
    np.fill_diagonal(between, 0)
    shorter = np.minimum.outer(border, border)
    shared = np.divide(between, shorter, out=np.zeros_like(between), where=shorter > 0)
    np.fill_diagonal(shared, 1.0)
    return np.minimum(shared, 1.0)


def _below(top: str, whole_of: Mapping[str, str], leaves: Sequence[str]) -> list[str]:
    return [leaf for leaf in leaves if leaf == top or _leads_to(whole_of, leaf, top)]


def _leads_to(whole_of: Mapping[str, str], leaf: str, top: str) -> bool:
    """Whether a leaf is a part of another one, or of its parts."""
    while leaf in whole_of:
        leaf = whole_of[leaf]
        if leaf == top:
            return True
    return False


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    taken.add(name)
    return name
