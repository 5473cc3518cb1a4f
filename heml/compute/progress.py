"""Telling a person who waits what is running and how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Takes one line of text. Stages call it; who runs them decides where it goes.
Progress = Callable[[str], None]


def silent(line: str) -> None:
    """Progress that goes nowhere."""
