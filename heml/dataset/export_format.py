"""What an export format is, and the registry of all formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from heml.parts.registry import Registry


class ExportFormat(Protocol):
    """Another format that a dataset can be written in.

    Parameters
    ----------
    name : str
        What recipes call it, and the name of its folder.
    rank : int
        Its place in lists, the lowest first.
    description : str
        One line: what it is good for.
    layout : str
        The files that it consists of, in Markdown.
    read_by : str
        How it is read back, in Markdown.
    """

    @property
    def name(self) -> str: ...

    @property
    def rank(self) -> int: ...

    @property
    def description(self) -> str: ...

    @property
    def layout(self) -> str: ...

    @property
    def read_by(self) -> str: ...

    def write(self, source: Path, target: Path, manifest: Mapping[str, Any]) -> int:
        """Writes a dataset in this format.

        No path and no key of the format may come from a row: ids, file names and columns of the
        input can hold anything.

        Parameters
        ----------
        source : pathlib.Path
            A whole dataset folder.
        target : pathlib.Path
            A folder that does not exist; it takes its final name when this method returns.
        manifest : mapping
            Of the source.

        Returns
        -------
        int
            Rows written.
        """
        ...


EXPORTS: Registry[ExportFormat] = Registry("export format", "heml.dataset.exports", "heml.exports")
