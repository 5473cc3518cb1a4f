"""Keeping the best samples of each slot: a table of candidates becomes the table of samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data_contracts import RECOMBINED_SAMPLES
from heml.images.images_table import ImageReader, decode_image
from heml.recombination.critic.critic import Candidate, Scores, criticize
from heml.recombination.critic.crops import edit_crops
from heml.recombination.refusals import SPARE
from heml.recombination.rounds import Slot, is_identity, slot_of
from heml.storage.sharded_parquet import ShardedTable, ShardWriter

#: Rows that are read together.
_READ = 32


def choose_samples(
    candidates: Path, folder: Path, wanted: Counter[Slot], reader: ImageReader, seed: int
) -> dict[str, Any]:
    """Writes every row of a table of candidates, the best of each slot accepted.

    Parameters
    ----------
    candidates : pathlib.Path
        Table of the `recombined_samples` contract, none accepted yet.
    folder : pathlib.Path
        Of the table to be written.
    wanted : Counter of Slot
        How many each slot keeps.
    reader : ImageReader
        Of hosts and donors.
    seed : int

    Returns
    -------
    dict
        For the stage's summary: counts, and the critic's `auc` with its interval, of what passed
        the gates and of what is kept, the latter by other networks than those that chose.
    """
    table = ShardedTable(candidates, RECOMBINED_SAMPLES)
    passed = defaultdict[Slot, list[str]](list)
    operators: dict[str, str] = {}
    columns = ["edit_id", "reason", "direction", "label", "attributes", "operator"]
    for batch in table.batches(columns, 4096):
        for row in batch.to_pylist():
            if not row["reason"]:
                passed[slot_of(row)].append(row["edit_id"])
                operators[row["edit_id"]] = row["operator"]
    spare = any(len(own) > wanted[slot] for slot, own in passed.items())
    scores = criticize(_reading(table, reader), len(operators), seed) if spare else None
    kept = {edit for slot, own in passed.items() for edit in _best(own, wanted[slot], scores)}
    # By networks that did not choose: those that did would flatter their choice.
    chosen = None if scores is None else criticize(_reading(table, reader, kept), len(kept), ~seed)
    with ShardWriter(folder, RECOMBINED_SAMPLES) as writer:
        for batch in table.batches(table.names, _READ):
            for row in batch.to_pylist():
                row["accepted"] = row["edit_id"] in kept
                if not row["reason"] and not row["accepted"]:
                    row["reason"] = SPARE
                row["critic"] = None if scores is None else scores.samples.get(row["edit_id"])
                writer.write([row], len(row["image"]["bytes"]))
    return {
        "accepted": len(kept),
        "accepted_by_operator": dict(sorted(Counter(operators[edit] for edit in kept).items())),
        "spares": len(operators) - len(kept),
        "critic": _described(scores, chosen),
    }


def _reading(
    table: ShardedTable, reader: ImageReader, kept: set[str] | None = None
) -> Callable[[], Iterator[Candidate]]:
    """Candidates that passed the gates, or those of them that are kept."""
    columns = ["edit_id", "reason", "direction", "label", "attributes"]
    columns += ["host_id", "donor_id", "seed", "image"]

    def read() -> Iterator[Candidate]:
        for batch in table.batches(columns, _READ):
            rows = [row for row in batch.to_pylist() if not row["reason"]]
            rows = [row for row in rows if not is_identity(slot_of(row))]
            rows = [row for row in rows if kept is None or row["edit_id"] in kept]
            ids = list(dict.fromkeys(row[end] for row in rows for end in ("host_id", "donor_id")))
            real = {
                image_id: decode_image(found["image"]["bytes"])
                for image_id, found in zip(ids, reader.rows(ids, ["image"]), strict=True)
            }
            for row in rows:
                sample = decode_image(row["image"]["bytes"])
                crops = edit_crops(sample, real[row["host_id"]], real[row["donor_id"]], row["seed"])
                if crops is not None:
                    yield Candidate(row["edit_id"], row["host_id"], crops)

    return read


def _best(edits: list[str], count: int, scores: Scores | None) -> list[str]:
    """Those that look least edited; in the order of the plan where nothing is known of them."""
    edits = sorted(edits)  # ids are numbers of the plan, with zeros in front
    if scores is None:
        return edits[:count]
    return sorted(edits, key=lambda edit: -scores.samples.get(edit, 0.5))[:count]


def _described(passed: Scores | None, kept: Scores | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, scores in (("passed", passed), ("kept", kept)):
        if scores is not None:
            auc = scores.auc()
            own = {"auc": auc.value, "low": auc.low, "high": auc.high}
            found[name] = {key: round(value, 4) for key, value in own.items()}
            found[name]["n"] = len(scores.samples)
    return found
