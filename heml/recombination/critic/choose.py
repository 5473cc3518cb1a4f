"""Keeping the best samples of each slot: a table of candidates becomes the table of samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from data_contracts import RECOMBINED_SAMPLES
from heml.compute.prefetch import map_ahead
from heml.images.images_table import ImageReader, decode_image
from heml.recombination.critic.critic import Candidate, Scores, criticize
from heml.recombination.critic.crops import edit_crops
from heml.recombination.critic.crops_file import CropsFile
from heml.recombination.plan.schedule import Kind
from heml.recombination.refusals import SPARE
from heml.recombination.rounds import Slot, is_identity, slot_of
from heml.storage.sharded_parquet import ShardedTable, ShardWriter

#: Rows that are read together.
_READ = 32


def choose_samples(
    candidates: Path, folder: Path, wanted: Counter[Slot], reader: ImageReader, seed: int
) -> dict[str, Any]:
    """Writes every row of a table of candidates, the best of each slot accepted.

    The best look least edited and fit best. Kinds of edit are kept in proportion to what passed of
    them: the choice must not change the mixture that the plan gave every group.

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
    kinds: dict[str, Kind] = {}
    misfits: dict[str, float] = {}
    columns = ["edit_id", "reason", "direction", "label", "attributes", "operator", "nodes"]
    for batch in table.batches([*columns, "misfit"], 4096):
        for row in batch.to_pylist():
            if not row["reason"]:
                passed[slot_of(row)].append(row["edit_id"])
                kinds[row["edit_id"]] = row["operator"], tuple(row["nodes"])
                misfits[row["edit_id"]] = row["misfit"] or 0.0
    spare = any(len(own) > wanted[slot] for slot, own in passed.items())
    crops = CropsFile(candidates / "crops.bin", _read_crops(table, reader)) if spare else None
    scores = None if crops is None else criticize(crops.read, len(kinds), seed)
    looks = {} if scores is None else scores.samples
    kept = {
        edit
        for slot, own in passed.items()
        for edit in best_of_each_kind(own, wanted[slot], kinds, looks, misfits)
    }
    # By networks that did not choose: those that did would flatter their choice.
    chosen = None
    if crops is not None and scores is not None:
        chosen = criticize(lambda: crops.read(kept), len(kept), ~seed)
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
        "accepted_by_operator": dict(sorted(Counter(kinds[edit][0] for edit in kept).items())),
        "spares": len(kinds) - len(kept),
        "critic": _described(scores, chosen),
    }


def _read_crops(table: ShardedTable, reader: ImageReader) -> Iterator[Candidate]:
    """Candidates that passed the gates."""
    found = map_ahead(_cropped, _with_originals(table, reader))
    return (candidate for candidate in found if candidate is not None)


def _with_originals(
    table: ShardedTable, reader: ImageReader
) -> Iterator[tuple[dict[str, Any], bytes, bytes]]:
    """Rows that passed the gates, each with the encoded host and donor."""
    columns = ["edit_id", "reason", "direction", "label", "attributes"]
    columns += ["host_id", "donor_id", "seed", "image"]
    for batch in table.batches(columns, _READ):
        rows = [row for row in batch.to_pylist() if not row["reason"]]
        rows = [row for row in rows if not is_identity(slot_of(row))]
        ids = list(dict.fromkeys(row[end] for row in rows for end in ("host_id", "donor_id")))
        real = {
            image_id: found["image"]["bytes"]
            for image_id, found in zip(ids, reader.rows(ids, ["image"]), strict=True)
        }
        for row in rows:
            yield row, real[row["host_id"]], real[row["donor_id"]]


def _cropped(given: tuple[dict[str, Any], bytes, bytes]) -> Candidate | None:
    row, *originals = given
    images = [decode_image(data) for data in (row["image"]["bytes"], *originals)]
    crops = edit_crops(images[0], images[1], images[2], row["seed"])
    return None if crops is None else Candidate(row["edit_id"], row["host_id"], crops)


def best_of_each_kind(
    edits: Sequence[str],
    count: int,
    kinds: Mapping[str, Kind],
    looks: Mapping[str, float],
    misfits: Mapping[str, float],
) -> list[str]:
    """The best edits of one slot.

    Parameters
    ----------
    edits : sequence of str
    count : int
        How many are wanted.
    kinds : mapping of str to Kind
        Edit → operator and nodes; as many of each are kept as its share of the edits says.
    looks, misfits : mapping of str to float
        What the critic says, high for what does not look edited; and how badly segments fit. An
        edit is as good as the worse of its two ranks; by the order of the plan where nothing is
        known.

    Returns
    -------
    list of str
        At most `count`.
    """
    by_kind = defaultdict[Kind, list[str]](list)
    for edit in sorted(edits):  # ids are numbers of the plan, with zeros in front
        by_kind[kinds[edit]].append(edit)
    shares = in_shares({kind: len(own) for kind, own in by_kind.items()}, count)
    kept: list[str] = []
    for kind, own in by_kind.items():
        # Ties have the best of their ranks: what is the same for all decides nothing.
        ranks = np.minimum(
            rankdata([looks.get(edit, 0.5) for edit in own], "max"),
            rankdata([-misfits.get(edit, 0.0) for edit in own], "max"),
        )
        order = np.argsort(-ranks, kind="stable")
        kept += [own[place] for place in order[: shares[kind]]]
    return kept


def in_shares(counts: Mapping[Kind, int], total: int) -> dict[Kind, int]:
    """A total divided in proportion to counts, none above its own: the largest remainders first."""
    everything = sum(counts.values())
    if everything <= total:
        return dict(counts)
    exact = {kind: total * count / everything for kind, count in counts.items()}
    shares = {kind: int(part) for kind, part in exact.items()}
    first = sorted(counts, key=lambda kind: (shares[kind] - exact[kind], kind))
    for kind in first[: total - sum(shares.values())]:
        shares[kind] += 1
    return shares


def _described(passed: Scores | None, kept: Scores | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, scores in (("passed", passed), ("kept", kept)):
        if scores is not None:
            auc = scores.auc()
            own = {"auc": auc.value, "low": auc.low, "high": auc.high}
            found[name] = {key: round(value, 4) for key, value in own.items()}
            found[name]["n"] = len(scores.samples)
    return found
