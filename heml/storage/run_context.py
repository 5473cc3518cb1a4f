"""What travels together through the stages of one recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace

from heml.compute.progress import Progress, silent
from heml.storage.store import Store
from heml.taxonomy import Taxonomy


@dataclass(frozen=True)
class RunContext:
    """A recipe's store and what every stage needs to know besides its own settings.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
    attributes : tuple of str
        Attributes in use: the recipe's columns, or the discovered one.
    progress : callable
        Takes one line of text; by default nobody listens.
    """

    store: Store
    taxonomy: Taxonomy
    attributes: tuple[str, ...] = ()
    progress: Progress = silent

    def __reduce__(self) -> tuple[type[RunContext], tuple[Store, Taxonomy, tuple[str, ...]]]:
        """Other processes get the context without its listener: loggers stay where they are."""
        return RunContext, (self.store, self.taxonomy, self.attributes)

    def with_attributes(self, attributes: tuple[str, ...]) -> RunContext:
        """The same run with other attributes, such as discovered ones."""
        return replace(self, attributes=attributes)
