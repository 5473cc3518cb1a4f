"""The taxonomy for a dataset's classes: a built-in one, one adapted to them, or one written out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from heml.taxonomy import Taxonomy, builtin, builtin_names

#: Names of classes that mark what nobody annotated.
_NO_CLASS = ("void", "unlabeled", "unlabeled", "unknown", "ignore", "other", "unannotated")

#: A taxonomy that knows a smaller share of the classes says little about the others.
_LEAST_KNOWN = 0.5


@dataclass(frozen=True)
class Choice:
    """A taxonomy as a recipe writes it, and why.

    Parameters
    ----------
    value : str or dict
        A built-in name, or leaves, tree and ignored.
    reason : str
    """

    value: str | dict[str, Any]
    reason: str


def choose_taxonomy(classes: Collection[str]) -> Choice:
    """The built-in taxonomy that names every class; else the nearest one, adapted.

    A set of two classes gets the part of it with these. The nearest one must know half of the
    classes, whatever their case and signs; else every class becomes a leaf of its own.
    """
    names = set(classes)
    taxonomies = [builtin(name) for name in builtin_names()]
    exact = [t for t in taxonomies if names <= {*t.class_names, *t.ignored}]
    if exact:
        # of two that name them all, the one with fewer other classes
        best = min(exact, key=lambda t: len(t.class_names))
        why = f"names all {len(names)} classes"
        if len(names) > 2 or len(best.leaves) <= 2:
            return Choice(best.name, why)
        return Choice(_adapted(best, list(classes)), f"{best.name} {why}: its part with these")
    named = [name for name in classes if name.lower() not in _NO_CLASS]
    known = Counter({t.name: sum(_plain(n) in _leaf_of(t) for n in named) for t in taxonomies})
    (nearest, common) = known.most_common(1)[0]
    near = f"{nearest} knows {common} of {len(named)} classes" if common else "none knows any"
    if common >= _LEAST_KNOWN * len(named) > 0:
        adapted = _adapted(builtin(nearest), list(classes))
        return Choice(adapted, f"{near}: its tree, with a leaf for each of the others")
    alone = one_leaf_each(list(classes))
    return Choice(alone, f"no built-in taxonomy fits ({near}): one leaf for each class")


def one_leaf_each(classes: list[str]) -> dict[str, Any]:
    """Leaves of one class each below one root; classes that mark what nobody annotated ignored."""
    nothing = Taxonomy("nothing", {"none": ("none",)}, {"image": ("none",)})
    return _adapted(nothing, classes)


def _leaf_of(taxonomy: Taxonomy) -> dict[str, str]:
    """Plain name of a class, or of a leaf → leaf."""
    leaves = {_plain(leaf): leaf for leaf in taxonomy.leaves}
    return leaves | {_plain(c): leaf for leaf, of in taxonomy.leaves.items() for c in of}


def _adapted(taxonomy: Taxonomy, classes: list[str]) -> dict[str, Any]:
    """A taxonomy's leaves and branches as far as there are classes, others below the root."""
    leaf_of = _leaf_of(taxonomy)
    nobodys = {_plain(name) for name in (*taxonomy.ignored, *_NO_CLASS)}
    leaves: dict[str, list[str]] = {leaf: [] for leaf in taxonomy.leaves}
    new: list[str] = []
    ignored = [n for n in classes if _plain(n) in nobodys and _plain(n) not in leaf_of]
    for name in (name for name in classes if name not in ignored):
        leaf = leaf_of.get(_plain(name))
        if leaf is None:
            leaf = _node_name(name, {*taxonomy.nodes, *new})
            new.append(leaf)
        leaves.setdefault(leaf, []).append(name)
    leaves = {leaf: of for leaf, of in leaves.items() if of}
    tree: dict[str, list[str]] = {}

    def grow(node: str) -> str | None:
        """The node's name in the new tree: its only child's if it has one, None without any."""
        if node in taxonomy.leaves:
            return node if node in leaves else None
        grown = [name for child in taxonomy.children(node) if (name := grow(child))]
        if node == taxonomy.root:
            grown += new
        elif len(grown) < 2:
            return grown[0] if grown else None
        tree[node] = grown
        return node

    grow(taxonomy.root)
    found: dict[str, Any] = {"leaves": leaves, "tree": tree}
    return found | ({"ignored": ignored} if ignored else {})


def _node_name(class_name: str, taken: Collection[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", class_name.lower()).strip("_")
    if not re.match(r"[a-z]", name) or name in taken:
        name = f"class_{name}"
    while name in taken:
        name += "_"
    return name


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())
