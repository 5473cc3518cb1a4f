"""Card, Croissant file and manifest of a dataset, and writing them again with the effect.

The effect is measured on the finished dataset, so the card learns of it later. Then the folder is
replaced as a whole: the Parquet files are the same ones, only the documents are new.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heml.dataset.card import dataset_card
from heml.dataset.croissant import croissant
from heml.dataset.dataset_facts import gather_facts
from heml.dataset.description import Description
from heml.dataset_folder.manifest_file import MANIFEST, read_manifest, write_manifest
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage

VERSION = 2
CARD, CROISSANT = "README.md", "croissant.json"


def write_documents(
    folder: Path,
    run: RunContext,
    about: Description,
    summary: Mapping[str, Any],
    effect: bool,
    known: Mapping[str, str],
) -> None:
    """Writes the card, `croissant.json` and, last, the manifest into a folder with all its data.

    Parameters
    ----------
    folder : pathlib.Path
        Where `data/` is already.
    run : RunContext
        Its store has the facts.
    about : Description
    summary : mapping
        What the writer of the data counted.
    effect : bool
        Whether the stored effect is this dataset's.
    known : mapping of str to str
        The Parquet files, `data/<file>` → SHA-256.
    """
    facts = gather_facts(run, about, summary, effect)
    files = sorted((folder / "data").glob("*.parquet"))
    (folder / CARD).write_text(dataset_card(facts, files), encoding="utf-8")
    (folder / CROISSANT).write_text(croissant(facts, files, known), encoding="utf-8")
    content = {
        "name": about.name,
        **{k: summary[k] for k in ("version", "rows", "rows_by_split", "revoked")},
        **{k: summary[k] for k in ("recipe_fingerprint", "code_fingerprint")},
        "label": summary["label_column"],
        "attributes": summary["attribute_columns"],
    }
    write_manifest(folder, content, known)


def complete_documents(run: RunContext, about: Description, effect: bool = True) -> Outcome:
    """The stage that writes the documents again, with the effect if there is one.

    The Parquet files stay as they are. An effect that was measured on another version of the
    dataset is left out.

    Raises
    ------
    FileNotFoundError
        If the dataset, or an effect that is wanted, is missing.
    """
    store = run.store
    dataset = store.fingerprint("rebalanced_dataset")
    # Effects that do not say which dataset they are of were measured after it.
    measured = effect and store.summary("debias_effect").get("dataset", dataset) == dataset
    key = fingerprint(
        VERSION, about.name, about.label, list(run.attributes), about.licence, dataset,
        store.fingerprint("debias_effect") if measured else None,
    )  # fmt: skip

    def compute() -> tuple[dict[str, Any], list[Path]]:
        summary = store.summary("rebalanced_dataset")
        written = store.rebalanced_dataset
        known = {
            file: str(entry["sha256"])
            for file, entry in read_manifest(written)["files"].items()
            if file.startswith("data/")
        }
        with write_aside(written) as folder:
            (folder / "data").mkdir(parents=True)
            for file in sorted((written / "data").iterdir()):
                _link(file, folder / "data" / file.name)
            write_documents(folder, run, about, summary, measured, known)
        words = "the effect is in the card" if measured else "no effect measured"
        run.progress(f"dataset_card: {words}")
        outputs = [written / file for file in (CARD, CROISSANT, MANIFEST)]
        files = read_manifest(written)["files"]
        size = sum(int(entry["bytes"]) for entry in files.values())
        counts = {"files": len(files), "bytes": size, "rows": summary["rows"]}
        return {"effect": measured, **counts, "words": words}, outputs

    return run_stage(store, "dataset_card", key, compute, run.progress)


def _link(file: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system has no links."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)
