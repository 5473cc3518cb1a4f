"""Registries: how operators, gates, segmenters, losses and other parts are found by name.

A part is one object in one module. Parts that come with HEML are the modules of one package, named
like the part; parts of other distributions are entry points, named likewise; a notebook registers
its own. Names are known without importing anything, so that a recipe is checked in milliseconds.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Generic, Protocol, TypeVar

from heml.taxonomy import nearest


class Part(Protocol):
    """What every registered object has.

    Parameters
    ----------
    name : str
        What recipes and tables call it; the name of its module or entry point.
    rank : int
        Where it comes in tables, the lowest first.
    """

    @property
    def name(self) -> str: ...

    @property
    def rank(self) -> int: ...


P = TypeVar("P", bound=Part)


class RegistryError(ValueError):
    """A part that is not there, or cannot be registered; the message says what to do."""


class Registry(Generic[P]):
    """Parts of one kind, by name.

    Parameters
    ----------
    kind : str
        What it holds, in the singular: "operator".
    package : str
        Package whose public modules are the parts that come with HEML. Each module registers one
        part, under the module's name, when it is imported. Modules whose names begin with `_` are
        helpers.
    entry_points : str
        Group of entry points of other distributions, such as `heml.operators`. An entry point names
        the part and leads to it, or to a module that registers it.
    """

    def __init__(self, kind: str, package: str, entry_points: str) -> None:
        self.kind = kind
        self.entry_points = entry_points
        self.package = package
        self._parts: dict[str, P] = {}

    def register(self, part: P) -> P:
        """Adds a part; the same name again is refused.

        Returns
        -------
        The part.

        Raises
        ------
        RegistryError
            If another part has the name.
        """
        if self._parts.get(part.name, part) is not part:
            raise RegistryError(
                f"there is a {self.kind} '{part.name}' already; give yours another name"
            )
        self._parts[part.name] = part
        return part

    def unregister(self, name: str) -> None:
        """Takes a part out again that `register` added."""
        self._parts.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """All names, sorted. Imports no part."""
        return tuple(sorted({*self._builtin, *self._installed, *self._parts}))

    def builtin_names(self) -> tuple[str, ...]:
        """Names of the parts that come with HEML, sorted. Imports no part."""
        return tuple(sorted(self._builtin))

    def check(self, name: str) -> None:
        """Refuses a name that no part has, without importing one.

        Raises
        ------
        RegistryError
            Naming the nearest.
        """
        if name not in self:
            raise RegistryError(f"no {self.kind} '{name}'; {nearest(name, self.names())}")

    def __contains__(self, name: object) -> bool:
        return name in self._parts or name in self._builtin or name in self._installed

    def __iter__(self) -> Iterator[P]:
        """All parts by rank, then name."""
        return iter(sorted(map(self.__getitem__, self.names()), key=lambda p: (p.rank, p.name)))

    def __getitem__(self, name: str) -> P:
        """A part by name, imported when it is first asked for.

        Raises
        ------
        RegistryError
            If there is none of the name, naming the nearest; or if its module registers none.
        """
        if name not in self._parts:
            self._load(name)
        return self._parts[name]

    def _load(self, name: str) -> None:
        self.check(name)
        if name in self._builtin:
            where = f"{self.package}.{name}"
            import_module(where)
        else:
            where = self._installed[name].value
            found = self._installed[name].load()
            if getattr(found, "name", None) == name:
                self.register(found)
        if name not in self._parts:
            raise RegistryError(f"{where} registers no {self.kind} of the name '{name}'")

    @cached_property
    def _builtin(self) -> frozenset[str]:
        spec = find_spec(self.package)
        folders = spec.submodule_search_locations if spec is not None else None
        return frozenset(
            module.name for module in pkgutil.iter_modules(folders) if module.name[0] != "_"
        )

    @property
    def _installed(self) -> dict[str, EntryPoint]:
        return _entry_points(self.entry_points, tuple(sys.path))


@cache
def _entry_points(group: str, path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Entry points by name. Reading them takes 50 ms; another path may have others."""
    return {point.name: point for point in entry_points(group=group)}
