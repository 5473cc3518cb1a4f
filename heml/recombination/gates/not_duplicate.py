"""Not a duplicate: the sample differs visibly from its host and from its donor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data_contracts import Column
from heml.recombination.gate import GATES, Classes, FittedGate, Gate, GateBatch, Judgment, Observer

if TYPE_CHECKING:
    from heml.recombination.imaging.segmented_image import SegmentedImage
    from heml.recombination.judging.calibration import Calibration
    from heml.recombination.judging.limits import Limit


#: A sample with fewer visibly changed pixels than this share is a duplicate of its host.
LEAST_CHANGE = 0.002
#: Real images that are hashed.
HASHES = 150


class NotDuplicate(FittedGate):
    """Changed pixels, and distance of perceptual hashes.

    Parameters
    ----------
    limits : Limit or None
        Largest share of differing hash bits of near-duplicates.
    """

    real_images = HASHES

    def __init__(self, limits: Limit | None = None) -> None:
        self.limits = limits

    def observer(self, moved: Sequence[Classes]) -> Observer | None:
        return None if self.limits is not None else _Hashes(self)

    def judge(self, batch: GateBatch) -> list[Judgment]:
        from heml.recombination.judging.near_duplicates import changed, hash_distance

        judgments = []
        for sample, host, donor, edit in zip(
            batch.samples, batch.hosts, batch.donors, batch.edits, strict=True
        ):
            change = changed(sample.image, host.image)
            apart = hash_distance(sample.image, donor.image)
            # An identity edit duplicates its host by design.
            refused = edit["direction"] != "identity" and (
                change < LEAST_CHANGE or apart <= self.limits.value
            )
            numbers = {"gate_change": change, "gate_donor_distance": apart}
            judgments.append(Judgment(numbers, refused))
        return judgments

    def describe(self) -> dict[str, Any]:
        if self.limits is None:
            return {}
        return {"not_duplicate": self.limits.describe() | {"least_change": LEAST_CHANGE}}


class _Hashes(Observer):
    def __init__(self, gate: NotDuplicate) -> None:
        self._gate = gate
        self._hashes: list[np.ndarray] = []

    def see(self, segmented_image: SegmentedImage, found: dict[str, np.ndarray] | None) -> None:
        from heml.recombination.judging.near_duplicates import perceptual_hash

        self._hashes.append(perceptual_hash(segmented_image.image))

    def close(self) -> None:
        from heml.recombination.judging.limits import duplicate_limit

        self._gate.limits = duplicate_limit(self._hashes)


def fit(calibration: Calibration, limits: Any) -> FittedGate:
    """The limit is measured when samples are first judged."""
    return NotDuplicate(limits)


GATES.register(
    Gate(
        name="not_duplicate",
        rank=40,
        question="Does it differ visibly from its host and its donor?",
        refusal="barely changed",
        columns=(
            Column(
                "gate_change",
                pa.float32(),
                "Share of pixels changed visibly from the host.",
                nullable=True,
                at_least=0,
                at_most=1,
            ),
            Column(
                "gate_donor_distance",
                pa.float32(),
                "Share of differing bits of the perceptual hashes of sample and donor.",
                nullable=True,
                at_least=0,
                at_most=1,
            ),
        ),
        fit=fit,
    )
)
