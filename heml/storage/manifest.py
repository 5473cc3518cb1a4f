"""A stage's manifest: its fingerprint, its summary and its files with their hashes, written last.

Says where a manifest is, reads it and writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint as fingerprint_of
from heml.storage.verification import file_hash, remember_verified

#: What was revoked, in the store's folder.
REVOKED = "revoked.json"


class DamagedManifest(ValueError):
    """A manifest that is not what was written; its stage counts as not finished."""


@dataclass(frozen=True)
class Manifest:
    """What a finished stage left.

    Parameters
    ----------
    fingerprint : str
        Of everything that the result depends on.
    summary : dict
        Counts and measures, JSON-like.
    files : mapping of str to int
        Path relative to the store → size in bytes.
    sha256 : mapping of str to str
        Path relative to the store → hash of the content.
    revocations : int
        How often images had been revoked when it was written.
    """

    fingerprint: str
    summary: dict[str, Any]
    files: dict[str, int]
    sha256: dict[str, str]
    revocations: int = 0


def manifest_path(root: Path, stage: str) -> Path:
    """Where a store keeps a stage's manifest."""
    return root / "manifests" / f"{stage}.json"


def revocations(root: Path) -> int:
    """How often images of the store were revoked; what was made before may still show them."""
    path = root / REVOKED
    return int(json.loads(path.read_text())["times"]) if path.exists() else 0


def read_manifest(root: Path, stage: str) -> Manifest:
    """A stage's manifest.

    Raises
    ------
    FileNotFoundError
        If the stage is not finished.
    DamagedManifest
        If the file is not what was written.
    """
    path = manifest_path(root, stage)
    if not path.exists():
        raise FileNotFoundError(f"stage '{stage}' has not run yet in {root}: run it first")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("checksum") != fingerprint_of(content):
            raise ValueError("the checksum is another one")
        return Manifest(**content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedManifest(f"{path} is damaged; remove it, and the stage runs again") from error


def write_manifest(
    root: Path, stage: str, fingerprint: str, summary: dict[str, Any], outputs: Iterable[Path]
) -> None:
    """Marks a stage finished.

    Parameters
    ----------
    outputs : iterable of pathlib.Path
        Files, and folders with all that is in them.
    """
    paths: dict[str, Path] = {}
    for output in outputs:
        members = sorted(output.rglob("*")) if output.is_dir() else [output]
        paths |= {
            member.relative_to(root).as_posix(): member for member in members if member.is_file()
        }
    hashes = {name: file_hash(path) for name, path in paths.items()}
    content: dict[str, Any] = {
        "fingerprint": fingerprint,
        # As it is read again: what JSON has no word for became text.
        "summary": json.loads(json.dumps(summary)),
        "files": {name: path.stat().st_size for name, path in paths.items()},
        "sha256": hashes,
        "revocations": revocations(root),
    }
    content["checksum"] = fingerprint_of(content)
    with write_aside(manifest_path(root, stage)) as path:
        path.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
    remember_verified(root, stage, hashes)
