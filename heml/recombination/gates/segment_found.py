"""Segment found: a segmenter finds the moved segment again."""

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


#: Real images that are segmented again to set the limit.
SEGMENTS = 400


class SegmentFound(FittedGate):
    """Overlap of the moved segments with those found again.

    Parameters
    ----------
    limits : dict
        Moved classes → least overlap.
    resegments : bool
        Whether there is a segmenter; without one nothing is judged.
    """

    real_images = SEGMENTS

    def __init__(self, limits: dict[Classes, Limit] | None = None, resegments: bool = True) -> None:
        self.limits = {} if limits is None else limits
        self.needs_found = resegments

    def observer(self, moved: Sequence[Classes]) -> Observer | None:
        wanted = [classes for classes in moved if classes not in self.limits]
        return _Overlaps(self, wanted) if wanted and self.needs_found else None

    def judge(self, batch: GateBatch) -> list[Judgment]:
        from heml.recombination.judging.limits import overlap

        if batch.found is None:
            return [Judgment({"gate_segment": None}, False)] * len(batch.samples)
        judgments = []
        for sample, classes, found in zip(batch.samples, batch.moved, batch.found, strict=True):
            again = overlap(found, sample, classes)
            refused = again < self.limits[classes].value
            judgments.append(Judgment({"gate_segment": again}, refused))
        return judgments

    def describe(self) -> dict[str, Any]:
        if not self.needs_found:
            return {"segment_found": "skipped: no segmenter to look for segments again"}
        return {
            f"segment_found/{', '.join(classes)}": limit.describe()
            for classes, limit in self.limits.items()
        }


class _Overlaps(Observer):
    def __init__(self, gate: SegmentFound, wanted: Sequence[Classes]) -> None:
        self._gate = gate
        self._overlaps: dict[Classes, list[float]] = {classes: [] for classes in wanted}

    def see(self, segmented_image: SegmentedImage, found: dict[str, np.ndarray] | None) -> None:
        from heml.metrics.views import union
        from heml.recombination.judging.limits import overlap

        assert found is not None
        for classes, overlaps in self._overlaps.items():
            if union(segmented_image.masks, classes) is not None:
                overlaps.append(overlap(found, segmented_image, classes))

    def close(self) -> None:
        from heml.recombination.judging.limits import presence_limit

        for classes, overlaps in self._overlaps.items():
            self._gate.limits[classes] = presence_limit(overlaps)


def fit(calibration: Calibration, limits: Any) -> FittedGate:
    """Limits are measured when edits of some classes are first judged."""
    return SegmentFound(limits, calibration.resegments)


GATES.register(
    Gate(
        name="segment_found",
        rank=60,
        question="Does a segmenter find the pasted segment?",
        refusal="pasted segment not found by the segmenter",
        columns=(
            Column(
                "gate_segment",
                pa.float32(),
                "Overlap (IoU) of the moved segments with those found again; null without a "
                "segmenter.",
                nullable=True,
                at_least=0,
                at_most=1,
            ),
        ),
        fit=fit,
    )
)
