"""The gates that look at pixels alone, with limits from real pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_contracts.recombined_samples import GATES
from heml.metrics.views import union
from heml.recombination.gates.calibration import (
    BORDERS,
    HASHES,
    Limit,
    Resegment,
    border_limits,
    duplicate_limit,
    overlap,
    presence_limit,
)
from heml.recombination.gates.near_duplicates import changed, hash_distance, perceptual_hash
from heml.recombination.gates.seam import SeamLimits, SeamNumbers, real_border, sample_seam
from heml.recombination.imaging.segmented_image import Picture, Recombined

LABEL_KEPT, ATTRIBUTE_CHANGED, IN_DISTRIBUTION, NOT_DUPLICATE, SEAM_HIDDEN, SEGMENT_FOUND = GATES

#: A sample with fewer visibly changed pixels than this share is a duplicate of its host.
LEAST_CHANGE = 0.002
#: Most of a pasted outline that may be the donor's border.
MOST_CUT_OFF = 0.1

#: Classes that are moved together.
Classes = tuple[str, ...]
Judged = tuple[dict[str, float | None], dict[str, bool]]


@dataclass
class AppearanceLimits:
    """What was measured of real pictures so far. Picklable, for other processes.

    Parameters
    ----------
    borders : dict
        Limits of the seam, None where real borders are too few, and the share of real borders that
        they refuse.
    presences : dict
        Least overlap of a segment that is found again.
    duplicates : Limit, optional
        Largest share of differing hash bits of near-duplicates.
    """

    borders: dict[Classes, tuple[SeamLimits | None, float]] = field(default_factory=dict)
    presences: dict[Classes, Limit] = field(default_factory=dict)
    duplicates: Limit | None = None


class AppearanceGates:
    """Duplicates, seams, and whether a moved segment is found again.

    Parameters
    ----------
    classes_of : callable
        Classes of a node.
    real : callable
        Gives some real train pictures in batches, the same in every call.
    resegment : callable, optional
        Segments of images from their pixels; without it no segment is looked for again.
    limits : AppearanceLimits, optional
        Measured before.
    """

    def __init__(
        self,
        classes_of: Callable[[str], Sequence[str]],
        real: Callable[[int], Iterator[Sequence[Picture]]],
        resegment: Resegment | None,
        limits: AppearanceLimits | None = None,
    ) -> None:
        self._classes_of = classes_of
        self._real = real
        self._resegment = resegment
        self.limits = limits or AppearanceLimits()

    def calibrate(self, moved: Iterable[Sequence[str]]) -> None:
        """Sets what limits are still unknown, in one pass over the real pictures.

        Parameters
        ----------
        moved : iterable of sequences of str
            Nodes of edits.
        """
        limits = self.limits
        if limits.duplicates is None:
            limits.duplicates = duplicate_limit(
                [perceptual_hash(p.image) for batch in self._real(HASHES) for p in batch]
            )
        wanted = [c for c in dict.fromkeys(map(self._classes, moved)) if c not in limits.borders]
        if not wanted:
            return
        borders: dict[Classes, list[SeamNumbers]] = {classes: [] for classes in wanted}
        overlaps: dict[Classes, list[float]] = {classes: [] for classes in wanted}
        for pictures in self._real(BORDERS):
            for picture, found in zip(pictures, self._found(pictures), strict=True):
                for classes in wanted:
                    segment = union(picture.masks, classes)
                    if segment is None:
                        continue
                    if not segment.all():
                        borders[classes].append(real_border(picture.image, segment))
                    if found is not None:
                        overlaps[classes].append(overlap(found, picture, classes))
        for classes in wanted:
            limits.borders[classes] = border_limits(borders[classes])
            if self._resegment is not None:
                limits.presences[classes] = presence_limit(overlaps[classes])

    def judge(
        self,
        samples: Sequence[Recombined],
        hosts: Sequence[Picture],
        donors: Sequence[Picture],
        edits: Sequence[Mapping[str, Any]],
    ) -> list[Judged]:
        """Columns of the `recombined_samples` contract, and which gates refuse, of a batch."""
        self.calibrate(edit["nodes"] for edit in edits)
        found = self._found(samples)
        return [
            self._judge(*each) for each in zip(samples, hosts, donors, edits, found, strict=True)
        ]

    def _judge(
        self,
        sample: Recombined,
        host: Picture,
        donor: Picture,
        edit: Mapping[str, Any],
        found: dict[str, np.ndarray] | None,
    ) -> Judged:
        classes = self._classes(edit["nodes"])
        limits, _ = self.limits.borders[classes]
        seam = None if limits is None else limits.conspicuous(sample_seam(sample, classes))
        change = changed(sample.image, host.image)
        apart = hash_distance(sample.image, donor.image)
        assert self.limits.duplicates is not None
        # A control that recombines an image with itself is to be its duplicate.
        itself = edit["direction"] == "identity"
        numbers: dict[str, float | None] = {
            "gate_change": change,
            "gate_donor_distance": apart,
            "gate_seam": seam,
            "gate_cut_off": sample.cut_off,
            "gate_segment": None,
        }
        refused = {
            NOT_DUPLICATE: not itself
            and (change < LEAST_CHANGE or apart <= self.limits.duplicates.value),
            SEAM_HIDDEN: sample.cut_off > MOST_CUT_OFF or (seam is not None and seam > 1),
        }
        if found is not None:
            again = overlap(found, sample, classes)
            numbers["gate_segment"] = again
            refused[SEGMENT_FOUND] = again < self.limits.presences[classes].value
        return numbers, refused

    def _classes(self, nodes: Sequence[str]) -> Classes:
        return tuple(c for node in nodes for c in self._classes_of(node))

    def _found(self, pictures: Sequence[Picture]) -> Sequence[dict[str, np.ndarray] | None]:
        if self._resegment is None:
            return [None] * len(pictures)
        return self._resegment([picture.image for picture in pictures])

    def describe(self) -> dict[str, Any]:
        """Limits and the share of real images that each refuses, of what was calibrated."""
        described: dict[str, Any] = {}
        if (duplicates := self.limits.duplicates) is not None:
            described[NOT_DUPLICATE] = {
                "limit": duplicates.value,
                "refused_of_real": duplicates.refused,
                "n": duplicates.n,
                "least_change": LEAST_CHANGE,
            }
        for classes, (limits, refused) in self.limits.borders.items():
            described[f"{SEAM_HIDDEN}/{', '.join(classes)}"] = (
                "skipped: too few real borders"
                if limits is None
                else _seam_limits(limits) | {"refused_of_real": refused, "n": limits.n}
            )
        if self._resegment is None:
            described[SEGMENT_FOUND] = "skipped: no segmenter to look for segments again"
        for classes, limit in self.limits.presences.items():
            described[f"{SEGMENT_FOUND}/{', '.join(classes)}"] = {
                "limit": limit.value,
                "refused_of_real": limit.refused,
                "n": limit.n,
            }
        return described


def _seam_limits(limits: SeamLimits) -> dict[str, float]:
    return {"limit": 1.0} | {
        f"{name}_{side}": middle + limits.room * (limit - middle)
        for side, quantile in (("at_least", limits.low), ("at_most", limits.high))
        for name, middle, limit in zip(SeamNumbers._fields, limits.median, quantile, strict=True)
        if np.isfinite(limit)
    }
