"""How recombined every train row looks: scores of a detector that never saw the row's family."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from heml.compute.batching import in_parts
from heml.compute.device import choose_device
from heml.compute.threads import worker_pool
from heml.effect.training_images import decode_resized
from heml.recombination.judging.detector import detector_scores, train_detector
from heml.recombination.judging.folds import fold_of, number_of

#: Side in pixels, rows that detectors are trained on, and their number, steps and batch size.
SIZE, TRAINED_ON, FOLDS, STEPS, BATCH = 32, 3000, 3, 80, 64
#: Rows that are decoded together.
_TOGETHER = 256


class MarkedRow(NamedTuple):
    """A train row.

    Parameters
    ----------
    row_id : str
    family : str
        Of a recombined row its host, of a real one itself.
    recombined : bool
    encoded : bytes
        The image.
    """

    row_id: str
    family: str
    recombined: bool
    encoded: bytes


def mark_scores(
    rows: Callable[[], Iterable[MarkedRow]], count: int, seed: int = 0
) -> dict[str, float]:
    """Cross-fitted scores of train rows, by id; empty where a fold has one kind of row alone.

    Parameters
    ----------
    rows : callable
        Gives the train rows, the same in every call; they are read twice, never kept together.
    count : int
        How many there are.
    seed : int, default 0

    Returns
    -------
    dict of str to float
        In [0, 1]: the rank among the rows of one fold, high for what looks recombined.
    """
    share = min(1.0, TRAINED_ON / max(count, 1))
    images, families, kinds = [], [], []
    for row in rows():
        if number_of(row.row_id) < share:
            images.append(decode_resized(row.encoded, SIZE))
            families.append(fold_of(row.family, FOLDS))
            kinds.append(row.recombined)
    folds, recombined = np.array(families, int), np.array(kinds, bool)
    if not images:
        return {}
    small = np.stack(images)
    networks = []
    device = choose_device("auto")
    # One thread: what is so small loses more to several than it gains.
    with worker_pool():
        for fold in range(FOLDS):
            others = np.flatnonzero(folds != fold)
            if len(np.unique(recombined[others])) < 2:
                return {}
            networks.append(
                train_detector(small, others, recombined, STEPS, BATCH, seed + fold, device)
            )
        ids: list[list[str]] = [[] for _ in range(FOLDS)]
        scores: list[list[float]] = [[] for _ in range(FOLDS)]
        for part in in_parts(rows(), _TOGETHER):
            seen = np.stack([decode_resized(row.encoded, SIZE) for row in part])
            own = np.array([fold_of(row.family, FOLDS) for row in part])
            for fold in np.unique(own):
                chosen = np.flatnonzero(own == fold)
                ids[fold] += [part[place].row_id for place in chosen]
                scores[fold] += detector_scores(networks[fold], seen[chosen], device).tolist()
    found: dict[str, float] = {}
    for names, values in zip(ids, scores, strict=True):
        # Logits of different networks have different offsets: ranks compare.
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        found |= dict(zip(names, (ranks / max(len(names) - 1, 1)).tolist(), strict=True))
    return found
