"""The list of a dataset's files with their SHA-256, written last: with it a dataset is whole.

Everything that reads a dataset folder here asks for it first; `verify` compares every byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heml.storage.verification import file_hash

MANIFEST = "manifest.json"
FORMAT = "heml.rebalanced_dataset"


class DatasetError(ValueError):
    """A folder is no whole dataset; the message says what is wrong with it."""


def write_manifest(
    folder: Path, about: Mapping[str, Any], known: Mapping[str, str] | None = None
) -> None:
    """Lists every file of the folder; to be called when nothing is written any more.

    Parameters
    ----------
    folder : pathlib.Path
    about : mapping
        What the manifest says besides, JSON-like.
    known : mapping of str to str, optional
        File → SHA-256 of files that need not be read again.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            digest = (known or {}).get(name) or file_hash(path)
            files[name] = {"bytes": path.stat().st_size, "sha256": digest}
    content = {"format": FORMAT, **about, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a dataset whose files are there with the right sizes.

    Raises
    ------
    DatasetError
        If there is none, or a file is missing, of another size, or one too many in `data/`.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    if not path.is_file():
        raise DatasetError(f"{folder}: no {MANIFEST}, so this is no whole dataset: write it again")
    try:
        manifest = dict(json.loads(path.read_text()))
        files = {name: int(entry["bytes"]) for name, entry in manifest["files"].items()}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: is damaged ({error}): write the dataset again") from error
    if manifest.get("format") != FORMAT:
        raise DatasetError(f"{path}: format is {manifest.get('format')!r}, not '{FORMAT}'")
    for name, size in files.items():
        file = folder / name
        if not file.is_file():
            raise DatasetError(f"{folder}: {name} is missing")
        if file.stat().st_size != size:
            raise DatasetError(f"{folder}: {name} has {file.stat().st_size} bytes, not {size}")
    present = {p.relative_to(folder).as_posix() for p in (folder / "data").rglob("*.parquet")}
    if extra := sorted(present - set(files)):
        raise DatasetError(f"{folder}: {extra[0]} does not belong to the dataset: remove it")
    return manifest


def verify(folder: str | Path) -> dict[str, Any]:
    """Compares every byte of a dataset with its manifest.

    Returns
    -------
    dict
        The manifest.

    Raises
    ------
    DatasetError
        Naming the first file that differs.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, entry in manifest["files"].items():
        found = file_hash(folder / name)
        if found != entry["sha256"]:
            raise DatasetError(f"{folder}: {name} is changed: SHA-256 {found}, not the written one")
    return manifest
