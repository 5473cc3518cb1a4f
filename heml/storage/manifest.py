"""A stage's manifest: its fingerprint, its summary and its files, written last.

Says where a manifest is, reads and writes it, and tells whether the files are those that it names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heml.storage.atomic_write import write_aside

#: What was revoked, in the store's folder.
REVOKED = "revoked.json"


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
    """

    fingerprint: str
    summary: dict[str, Any]
    files: dict[str, int]

    def files_are_whole(self, root: Path) -> bool:
        """Whether every file is there, with its size."""
        return all(
            (root / name).is_file() and (root / name).stat().st_size == size
            for name, size in self.files.items()
        )


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
    ValueError
        If the file is no manifest.
    """
    path = manifest_path(root, stage)
    if not path.exists():
        raise FileNotFoundError(f"stage '{stage}' has not run yet in {root}: run it first")
    content = json.loads(path.read_text())
    try:
        return Manifest(
            str(content["fingerprint"]), dict(content["summary"]), dict(content["files"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged; remove it, and the stage runs again") from error


def write_manifest(
    root: Path, stage: str, fingerprint: str, summary: dict[str, Any], outputs: Iterable[Path]
) -> None:
    """Marks a stage finished.

    Parameters
    ----------
    outputs : iterable of pathlib.Path
        Files, and folders with all that is in them.
    """
    files: dict[str, int] = {}
    for output in outputs:
        members = sorted(output.rglob("*")) if output.is_dir() else [output]
        files |= {
            member.relative_to(root).as_posix(): member.stat().st_size
            for member in members
            if member.is_file()
        }
    content: dict[str, Any] = {"fingerprint": fingerprint, "summary": summary, "files": files}
    if times := revocations(root):
        content["revocations"] = times
    with write_aside(manifest_path(root, stage)) as path:
        path.write_text(json.dumps(content, indent=1, sort_keys=True))
