"""Installing a part of another distribution, as pip would, into a temporary folder."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest


def install_toy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, group: str, name: str, code: str
) -> None:
    """Makes a distribution with one module, `name`, and one entry point to the object `name` in it.

    Parameters
    ----------
    folder : pathlib.Path
        Made and put on the path while the test runs.
    group : str
        Of the entry point, such as `heml.arms`.
    name : str
    code : str
        Of the module.
    """
    site = folder / "site"
    about = site / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{name} = {name}:{name}\n")
    (site / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
