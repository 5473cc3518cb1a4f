"""The taxonomy for a dataset's classes: a built-in one that names them all, or one written out."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from heml.taxonomy import builtin, builtin_names

#: Names of classes that mark what nobody annotated.
_NO_CLASS = ("void", "unlabeled", "unlabelled", "unknown", "ignore", "other", "unannotated")


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
    """The built-in taxonomy that names every class, else every class as a leaf of its own."""
    names = set(classes)
    known = {name: set(_classes_of(name)) for name in builtin_names()}
    # of two that name them all, the one with fewer other classes
    nearest = max(known, key=lambda name: (len(names & known[name]), -len(known[name])))
    common = len(names & known[nearest])
    if common == len(names):
        return Choice(nearest, f"names all {len(names)} classes")
    ignored = [name for name in classes if name.lower() in _NO_CLASS]
    leaves = {_leaf(name): [name] for name in classes if name not in ignored}
    root = "image" if "image" not in leaves else "whole_image"
    value: dict[str, Any] = {"leaves": leaves, "tree": {root: list(leaves)}}
    if ignored:
        value["ignored"] = ignored
    near = f"{nearest} names {common} of {len(names)} classes" if common else "none names any"
    return Choice(value, f"no built-in taxonomy fits ({near}): one leaf for each class")


def _classes_of(name: str) -> list[str]:
    taxonomy = builtin(name)
    return [*taxonomy.class_names, *taxonomy.ignored]


def _leaf(class_name: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", class_name.lower()).strip("_")
    return name if re.match(r"[a-z]", name) else f"class_{name}"
