"""What a source layout is, and which there are: the kinds of datasets that are read.

A layout that comes with HEML is a module of `heml.sources.layouts`; another distribution gives one
by an entry point of the group `heml.sources`. Recipes load the modules, so they import what reads
only when a source is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from heml.parts.registered_settings import RegisteredSettings
from heml.parts.registry import Registry
from heml.sources.source_settings import SourceSettings

if TYPE_CHECKING:
    from heml.sources.files import Files, Listing
    from heml.sources.raw import Source


def _no_problems(settings: Any) -> Iterable[tuple[tuple[str | int, ...], str]]:
    return ()


def _not_recognized(found: Listing) -> dict[str, Any] | None:
    return None


def _not_probed(files: Files) -> dict[str, Any] | None:
    return None


@dataclass(frozen=True)
class Layout:
    """A kind of dataset.

    Parameters
    ----------
    name : str
        The recipe's `source.kind`.
    rank : int
        Place in tables, the lowest first; the order in which layouts are recognized.
    description : str
        One line for the documentation.
    settings : type of SourceSettings
        With `kind: Literal[name]`.
    open : callable
        From settings and the folder that relative paths start from to what reads; raises
        `SourceError` where the settings name something that does not exist.
    taxonomy : str, optional
        Built-in taxonomy of recipes that name none.
    problems : callable
        From settings to what is wrong with them beyond types: a path of keys below `source`, and a
        sentence that says what to write instead.
    recognize : callable
        From the names at a dataset's root to the settings that read it, beside kind, root, label
        and attributes; None if the dataset is of another layout. Drafting asks it.
    probe : callable
        Likewise from the files below the root, where the names at the root say too little.
    """

    name: str
    rank: int
    description: str
    settings: type[SourceSettings]
    open: Callable[[Any, Path], Source]
    taxonomy: str | None = None
    problems: Callable[[Any], Iterable[tuple[tuple[str | int, ...], str]]] = _no_problems
    recognize: Callable[[Listing], dict[str, Any] | None] = _not_recognized
    probe: Callable[[Files], dict[str, Any] | None] = _not_probed


LAYOUTS: Registry[Layout] = Registry("source kind", "heml.sources.layouts", "heml.sources")

#: Settings of any layout: the type of a recipe's `source`.
AnySource = Annotated[SourceSettings, RegisteredSettings(LAYOUTS)]


def layout_of(settings: SourceSettings) -> Layout:
    """The layout that settings are of."""
    return LAYOUTS[settings.kind]  # type: ignore[attr-defined]


def open_source(settings: SourceSettings, base: Path) -> Source:
    """What reads a source.

    Parameters
    ----------
    settings : SourceSettings
    base : pathlib.Path
        Folder that relative paths start from: the recipe's.

    Raises
    ------
    SourceError
        If the settings name something that does not exist here.
    """
    return layout_of(settings).open(settings, base)
