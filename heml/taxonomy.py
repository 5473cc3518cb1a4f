"""Semantic classes, leaves and the tree that combines them. The built-in ones are in `taxonomies/`.

Nothing here knows of images or networks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Literal

import yaml

NAME = re.compile(r"[a-z][a-z0-9_]*")
#: The leaf that surrounds all others, where a taxonomy has it.
BACKGROUND = "background"
Kind = Literal["leaf", "branch", "root"]


class TaxonomyError(ValueError):
    """A taxonomy is inconsistent, or does not cover a dataset's classes."""


def nearest(word: str, words: Iterable[str]) -> str:
    """A hint for an unknown word: the nearest valid one, or all of them."""
    known = sorted(words)
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else f"use one of: {', '.join(known)}"


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

    Raises
    ------
    TaxonomyError
        If a name is malformed or used twice, a child is unknown, or there is not one root.
    """

    name: str
    leaves: Mapping[str, tuple[str, ...]]
    tree: Mapping[str, tuple[str, ...]]
    ignored: tuple[str, ...] = ()

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
        children = {child for group in self.tree.values() for child in group}
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

    def describe(self) -> dict[str, object]:
        """As plain data, for fingerprints and files."""
        return {
            "name": self.name,
            "leaves": {k: list(v) for k, v in self.leaves.items()},
            "tree": {k: list(v) for k, v in self.tree.items()},
            "ignored": list(self.ignored),
        }


def from_mapping(name: str, content: Mapping[str, object]) -> Taxonomy:
    """A taxonomy from plain data with the keys `leaves`, `tree` and, optionally, `ignored`.

    Raises
    ------
    TaxonomyError
    """
    unknown = set(content) - {"name", "leaves", "tree", "ignored"}
    if unknown:
        word = sorted(unknown)[0]
        raise TaxonomyError(
            f"taxonomy '{name}': unknown key '{word}'; {nearest(word, ['leaves', 'tree'])}"
        )
    groups: dict[str, dict[str, tuple[str, ...]]] = {}
    for key in ("leaves", "tree"):
        part = content.get(key)
        if not isinstance(part, Mapping) or not part:
            raise TaxonomyError(f"taxonomy '{name}': '{key}' must map names to lists of names")
        for node, members in part.items():
            if not isinstance(members, list | tuple):
                raise TaxonomyError(f"taxonomy '{name}': '{key}.{node}' must be a list")
        groups[key] = {str(k): tuple(map(str, v)) for k, v in part.items()}
    ignored = content.get("ignored") or ()
    if not isinstance(ignored, list | tuple):
        raise TaxonomyError(f"taxonomy '{name}': 'ignored' must be a list")
    return Taxonomy(name, groups["leaves"], groups["tree"], tuple(map(str, ignored)))


def builtin_names() -> list[str]:
    """Names of the taxonomies that come with HEML."""
    folder = resources.files("heml") / "taxonomies"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith("yaml"))


def builtin(name: str) -> Taxonomy:
    """A taxonomy that comes with HEML.

    Raises
    ------
    TaxonomyError
        With the nearest name, if there is none of this name.
    """
    if name not in builtin_names():
        raise TaxonomyError(f"unknown taxonomy '{name}'; {nearest(name, builtin_names())}")
    file = resources.files("heml") / "taxonomies" / f"{name}.yaml"
    return from_mapping(name, yaml.safe_load(file.read_text()))
