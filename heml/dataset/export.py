"""Writing exports: of any dataset folder to anywhere, and those that a recipe asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The gates give the dataset its columns of theirs.
import heml.recombination.gate  # noqa: F401
from heml.dataset.export_format import EXPORTS
from heml.dataset_folder.manifest_file import DatasetError, read_manifest
from heml.parts.registry import RegistryError
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import run_stage

VERSION = 2
#: Stages of exports are named so, with the format's name.
EXPORT = "export_"
#: File that tells an export from a folder of something else.
_MARK = "heml-export.txt"


def export_dataset(source: str | Path, kind: str, target: str | Path) -> int:
    """Writes a dataset folder in another format.

    Parameters
    ----------
    source : path
        A whole dataset folder.
    kind : str
        Name of a registered format, such as "coco".
    target : path
        A folder, which is written whole or not at all; an earlier one is replaced.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    DatasetError
        If the source is no whole dataset, the kind is unknown, or the target holds something that
        is no export.
    """
    source, target = Path(source), Path(target)
    manifest = read_manifest(source)
    try:
        chosen = EXPORTS[kind]
    except RegistryError as error:
        raise DatasetError(str(error)) from error
    if source.resolve() in (target.resolve(), *target.resolve().parents):
        raise DatasetError(f"{target} lies in the dataset itself: choose another folder")
    if target.exists() and not _is_export(target):
        raise DatasetError(f"{target} exists and is no export: choose another folder, or remove it")
    with write_aside(target) as folder:
        count = chosen.write(source, folder, manifest)
        (folder / _MARK).write_text(f"{kind}, of {manifest['name']} {manifest['version']}\n")
    return count


def _is_export(folder: Path) -> bool:
    return folder.is_dir() and ((folder / _MARK).exists() or not any(folder.iterdir()))


def write_exports(run: RunContext, kinds: Sequence[str]) -> dict[str, int]:
    """The exports that a recipe asks for, in `store.exports`; others there are removed.

    What is removed could hold images that were revoked since.

    Returns
    -------
    dict
        Kind → rows.
    """
    store = run.store
    if store.exports.exists():
        for folder in sorted(store.exports.iterdir()):
            if folder.name not in kinds and _is_export(folder):
                store.withdraw(f"{EXPORT}{folder.name}", folder)
    return {kind: _export(run, kind) for kind in dict.fromkeys(kinds)}


def _export(run: RunContext, kind: str) -> int:
    store = run.store

    def compute() -> tuple[dict[str, Any], list[Path]]:
        target = store.exports / kind
        count = export_dataset(store.rebalanced_dataset, kind, target)
        run.progress(f"rebalanced_dataset: {count} rows as {kind}")
        return {"rows": count}, [target]

    key = fingerprint(VERSION, kind, store.fingerprint("rebalanced_dataset"))
    outcome = run_stage(store, f"{EXPORT}{kind}", key, compute, run.progress)
    return int(outcome.summary["rows"])
