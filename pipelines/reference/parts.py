"""docs/parts.md: every registered part, from the registries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import heml
from heml.parts.registry import Registry
from pipelines.reference.markdown import table

_HEAD = """\
# Parts

A part is one object in one module. To add one to HEML, add a module to the package. To add one from
another distribution, name it in the entry point group. To try one in a notebook, call `register` of
the registry. [architecture.md](architecture.md) shows an example.
"""


def part_reference() -> str:
    """The page: one section per registry, with the parts that come with HEML."""
    return "\n".join([_HEAD, *(_section(name, registry) for name, registry in registries())])


def registries() -> Iterator[tuple[str, Registry[Any]]]:
    """Every registry with its dotted name, by name.

    Modules that make one are found by their source, so that no others are imported.
    """
    root = Path(heml.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if re.search(r"^\w+(: .+)? = Registry\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            name = ".".join(path.relative_to(root.parent).with_suffix("").parts)
            for attribute, value in vars(import_module(name)).items():
                if isinstance(value, Registry):
                    yield f"{name}.{attribute}", value


def description(part: Any) -> str:
    """What a part is, in one sentence; gates say what they ask."""
    return str(getattr(part, "description", "") or getattr(part, "question", ""))


def _section(name: str, registry: Registry[Any]) -> str:
    parts = [part for part in registry if part.name in registry.builtin_names()]
    rows = [[f"`{part.name}`", description(part)] for part in parts]
    kind = registry.kind[0].upper() + registry.kind[1:]
    return "\n".join(
        [
            f"## {kind}",
            "",
            f"Package `{registry.package}`, registry `{name}`, entry point group "
            f"`{registry.entry_points}`.",
            "",
            *table(["name", "what it is"], rows),
            "",
        ]
    )
