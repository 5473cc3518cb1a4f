"""Going over many things a few at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def in_parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items, in their order; no more than one is read ahead."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
