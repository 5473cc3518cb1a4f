"""Parts that a test adds: by `register`, or as the entry point of an installed distribution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from toy_parts import install_toy

from heml.parts.registry import Registry

HOWS = ("registered", "installed")


@contextmanager
def toy_part(
    registry: Registry[Any],
    name: str,
    source: str,
    how: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """A part that is there inside the block.

    Parameters
    ----------
    registry : Registry
    name : str
    source : str
        A module whose `PART` is the part.
    how : str
        One of `HOWS`.
    folder : pathlib.Path
        Where a distribution is installed.
    """
    try:
        with monkeypatch.context() as patch:
            if how == "registered":
                space: dict[str, Any] = {"__name__": name}
                exec(compile(source, name, "exec", dont_inherit=True), space)
                registry.register(space["PART"])
            else:
                code = f"{source}\n{name} = PART\n"
                install_toy(folder, patch, registry.entry_points, name, code)
                registry.__dict__.pop("_installed", None)
            yield
    finally:
        registry.unregister(name)
        registry.__dict__.pop("_installed", None)
