"""A taxonomy: semantic classes, leaves, the tree that combines them, and what makes one valid."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

NAME = re.compile(r"[a-z][a-z0-9_]*")
#: The leaf that surrounds all others, where a taxonomy has it.
BACKGROUND = "background"
#: Other names that such a leaf has.
BEHIND = (BACKGROUND, "surroundings", "rest", "backdrop", "scene", "scenery")
Kind = Literal["leaf", "branch", "root"]
_KEYS = ("name", "leaves", "tree", "ignored", "classes")


class TaxonomyError(ValueError):
    """A taxonomy is inconsistent, or does not cover a dataset's classes."""


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint for an unknown word: the nearest valid one, or all of them."""
    known = sorted(words)
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else f"use one of: {', '.join(known)}"


def background_among(leaves: Iterable[str]) -> str | None:
    """The leaf that lies behind all others: the one called so, else the only one with another name
    of `BEHIND`; None if there is none."""
    found = [leaf for leaf in leaves if leaf in BEHIND]
    if BACKGROUND in found:
        return BACKGROUND
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True)
class Taxonomy:
    """Class names, leaves and branches of a metric tree.

    Parameters
    ----------
    name : str
    leaves : mapping of str to tuple of str
        Leaf → semantic classes whose pixels it holds. A class is in at most one leaf.
    tree : mapping of str to tuple of str
        Branch → children (leaves or branches). One branch, the root, is nobody's child and
        reaches every leaf.
    ignored : tuple of str
        Classes that belong to no leaf, such as "void".
    class_list : tuple of str
        All classes in the order of their ids in the masks, from 0. Says nothing of what the
        tree computes, so it takes no part in comparisons; empty where only the dataset knows.

    Raises
    ------
    TaxonomyError
        If a name is malformed or used twice, a child is unknown, or there is not one root.
    """

    name: str
    leaves: Mapping[str, tuple[str, ...]]
    tree: Mapping[str, tuple[str, ...]]
    ignored: tuple[str, ...] = ()
    class_list: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        self._check_names()
        self._check_classes()
        self._check_tree()

    def _check_names(self) -> None:
        for node in (*self.leaves, *self.tree):
            if not NAME.fullmatch(node):
                raise TaxonomyError(
                    f"taxonomy '{self.name}': node name '{node}' must be lower-case letters, "
                    "digits and _, starting with a letter"
                )
        both = set(self.leaves) & set(self.tree)
        if both:
            raise TaxonomyError(f"taxonomy '{self.name}': both leaf and branch: {sorted(both)}")

    def _check_classes(self) -> None:
        seen: dict[str, str] = {}
        for leaf, classes in self.leaves.items():
            if not classes:
                raise TaxonomyError(f"taxonomy '{self.name}': leaf '{leaf}' names no class")
            for class_name in classes:
                if class_name in seen:
                    raise TaxonomyError(
                        f"taxonomy '{self.name}': class '{class_name}' is in the leaves "
                        f"'{seen[class_name]}' and '{leaf}'"
                    )
                seen[class_name] = leaf
        for class_name in self.ignored:
            if class_name in seen:
                raise TaxonomyError(
                    f"taxonomy '{self.name}': class '{class_name}' is ignored and in the leaf "
                    f"'{seen[class_name]}'"
                )
        if len(set(self.class_list)) != len(self.class_list):
            raise TaxonomyError(f"taxonomy '{self.name}': 'classes' names a class twice")
        if self.class_list and set(self.class_list) != {*seen, *self.ignored}:
            odd = sorted(set(self.class_list) ^ {*seen, *self.ignored})
            raise TaxonomyError(
                f"taxonomy '{self.name}': '{odd[0]}' must be both among 'classes' and in a leaf or "
                "'ignored'"
            )

    def _check_tree(self) -> None:
        nodes = {*self.leaves, *self.tree}
        parent: dict[str, str] = {}
        for branch, children in self.tree.items():
            if not children:
                raise TaxonomyError(f"taxonomy '{self.name}': branch '{branch}' has no children")
            for child in children:
                if child not in nodes:
                    raise TaxonomyError(
                        f"taxonomy '{self.name}': '{branch}' has the unknown child '{child}'; "
                        + nearest(child, nodes)
                    )
                if child in parent:
                    raise TaxonomyError(
                        f"taxonomy '{self.name}': '{child}' has two parents, "
                        f"'{parent[child]}' and '{branch}'"
                    )
                parent[child] = branch
        roots = [node for node in nodes if node not in parent]
        if len(roots) != 1 or roots[0] not in self.tree:
            raise TaxonomyError(
                f"taxonomy '{self.name}': needs one branch above all others, found {sorted(roots)}"
            )
        if len(list(self._below(roots[0], depth=0))) != len(nodes):
            raise TaxonomyError(f"taxonomy '{self.name}': the tree has a cycle")

    def _below(self, node: str, depth: int) -> Iterable[str]:
        if depth > len(self.tree):
            raise TaxonomyError(f"taxonomy '{self.name}': the tree has a cycle at '{node}'")
        yield node
        for child in self.tree.get(node, ()):
            yield from self._below(child, depth + 1)

    @cached_property
    def root(self) -> str:
        children = {child for attribute in self.tree.values() for child in attribute}
        return next(branch for branch in self.tree if branch not in children)

    @cached_property
    def levels(self) -> list[list[str]]:
        """Nodes by height: leaves first, the root last; a branch stands above all its children."""
        height = dict.fromkeys(self.leaves, 0)

        def measure(node: str) -> int:
            if node not in height:
                height[node] = 1 + max(measure(child) for child in self.tree[node])
            return height[node]

        measure(self.root)
        return [
            [node for node in self.nodes if height[node] == level]
            for level in range(max(height.values()) + 1)
        ]

    @property
    def background(self) -> str | None:
        """The leaf that lies behind all others, where there is one."""
        return background_among(self.leaves)

    @property
    def nodes(self) -> list[str]:
        """All nodes, leaves first, in the order of the taxonomy."""
        return [*self.leaves, *self.tree]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Every class of every leaf."""
        return tuple(c for classes in self.leaves.values() for c in classes)

    def kind(self, node: str) -> Kind:
        if node == self.root:
            return "root"
        return "leaf" if node in self.leaves else "branch"

    def children(self, node: str) -> tuple[str, ...]:
        """Direct children; none for a leaf."""
        return tuple(self.tree.get(node, ()))

    @cached_property
    def _leaves_below(self) -> dict[str, tuple[str, ...]]:
        return {
            node: tuple(n for n in self._below(node, depth=0) if n in self.leaves)
            for node in self.nodes
        }

    def leaves_of(self, node: str) -> tuple[str, ...]:
        """Leaves below a node; the leaf itself for a leaf."""
        return self._leaves_below.get(node, ())

    def classes_of(self, node: str) -> tuple[str, ...]:
        """Semantic classes whose pixels a node sees."""
        return tuple(c for leaf in self.leaves_of(node) for c in self.leaves[leaf])

    def check_covers(self, class_names: Iterable[str]) -> None:
        """Refuses classes that neither a leaf nor `ignored` names.

        Raises
        ------
        TaxonomyError
        """
        known = {*self.class_names, *self.ignored}
        for class_name in class_names:
            if class_name not in known:
                raise TaxonomyError(
                    f"taxonomy '{self.name}' does not name the class '{class_name}'; "
                    + nearest(class_name, known)
                )

    def at_leaf_level(self) -> Taxonomy:
        """The same tree where each leaf is a class of its own: what a segmenter of leaves gives."""
        return Taxonomy(self.name, {leaf: (leaf,) for leaf in self.leaves}, self.tree)

    def describe(self) -> dict[str, object]:
        """As plain data, for fingerprints and files."""
        return {
            "name": self.name,
            "leaves": {k: list(v) for k, v in self.leaves.items()},
            "tree": {k: list(v) for k, v in self.tree.items()},
            "ignored": list(self.ignored),
        }


def from_mapping(name: str, content: Mapping[str, object]) -> Taxonomy:
    """A taxonomy from plain data with the keys `leaves`, `tree` and, optionally, `ignored` and
    `classes`.

    Raises
    ------
    TaxonomyError
    """
    unknown = set(content) - set(_KEYS)
    if unknown:
        word = sorted(unknown)[0]
        raise TaxonomyError(f"taxonomy '{name}': unknown key '{word}'; {nearest(word, _KEYS[1:])}")
    attributes: dict[str, dict[str, tuple[str, ...]]] = {}
    for key in ("leaves", "tree"):
        part = content.get(key)
        if not isinstance(part, Mapping) or not part:
            raise TaxonomyError(f"taxonomy '{name}': '{key}' must map names to lists of names")
        for node, members in part.items():
            if not isinstance(members, list | tuple):
                raise TaxonomyError(f"taxonomy '{name}': '{key}.{node}' must be a list")
        attributes[key] = {str(k): tuple(map(str, v)) for k, v in part.items()}
    lists: dict[str, tuple[str, ...]] = {}
    for key in ("ignored", "classes"):
        names = content.get(key) or ()
        if not isinstance(names, list | tuple):
            raise TaxonomyError(f"taxonomy '{name}': '{key}' must be a list")
        lists[key] = tuple(map(str, names))
    return Taxonomy(
        name, attributes["leaves"], attributes["tree"], lists["ignored"], lists["classes"]
    )
