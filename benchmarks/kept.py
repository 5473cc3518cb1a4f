"""Figures of a part of a benchmark, kept as JSON: a run that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint


def kept(
    folder: Path, part: str, rests_on: object, compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The part's figures, computed unless they are there.

    Parameters
    ----------
    folder : pathlib.Path
    part : str
        Its name, of letters that a file name may have.
    rests_on : object
        JSON-like; other figures are kept for another value.
    compute : callable
    """
    path = folder / f"{part}-{fingerprint(rests_on)}.json"
    if path.exists():
        return dict(json.loads(path.read_text()))
    figures = compute()
    with write_aside(path) as aside:
        aside.write_text(json.dumps(figures, indent=1, allow_nan=False))
    return figures
