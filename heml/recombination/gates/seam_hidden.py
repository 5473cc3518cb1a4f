"""Seam hidden: seam, detail and fill are no more conspicuous than real borders."""

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
    from heml.recombination.judging.seam import SeamNumbers
    from heml.recombination.judging.seam_limits import SeamLimits


#: Largest share of a pasted outline that may be the border of the donor's image.
MOST_CUT_OFF = 0.1
#: Real images whose borders are measured.
BORDERS = 200


class SeamHidden(FittedGate):
    """How conspicuous the edit's border is, against real borders of the same classes.

    Parameters
    ----------
    limits : dict
        Moved classes → limits of the seam, None where real borders are too few, and the share of
        real borders that they refuse.
    """

    real_images = BORDERS

    def __init__(
        self, limits: dict[Classes, tuple[SeamLimits | None, float]] | None = None
    ) -> None:
        self.limits = {} if limits is None else limits

    def observer(self, moved: Sequence[Classes]) -> Observer | None:
        wanted = [classes for classes in moved if classes not in self.limits]
        return _Borders(self, wanted) if wanted else None

    def judge(self, batch: GateBatch) -> list[Judgment]:
        from heml.recombination.judging.seam import sample_seam

        judgments = []
        for sample, classes in zip(batch.samples, batch.moved, strict=True):
            limits, _ = self.limits[classes]
            seam = None if limits is None else limits.conspicuous(sample_seam(sample, classes))
            refused = sample.cut_off > MOST_CUT_OFF or (seam is not None and seam > 1)
            numbers = {"gate_seam": seam, "gate_cut_off": sample.cut_off}
            judgments.append(Judgment(numbers, refused))
        return judgments

    def describe(self) -> dict[str, Any]:
        return {
            f"seam_hidden/{', '.join(classes)}": (
                "skipped: too few real borders"
                if limits is None
                else limits.describe() | {"refused_of_real": refused, "n": limits.n}
            )
            for classes, (limits, refused) in self.limits.items()
        }


class _Borders(Observer):
    def __init__(self, gate: SeamHidden, wanted: Sequence[Classes]) -> None:
        self._gate = gate
        self._borders: dict[Classes, list[SeamNumbers]] = {classes: [] for classes in wanted}

    def see(self, segmented_image: SegmentedImage, found: dict[str, np.ndarray] | None) -> None:
        from heml.recombination.imaging.matte import SOLID, segment_matte
        from heml.recombination.judging.seam import real_border

        for classes, borders in self._borders.items():
            matte = segment_matte(segmented_image, classes)
            if matte is None:
                continue
            # Samples have their outline where the matte is, not the annotator's.
            segment = matte.alpha >= SOLID
            # A segment that is the whole image has no border.
            if segment.any() and not segment.all():
                borders.append(real_border(segmented_image.image, segment))

    def close(self) -> None:
        from heml.recombination.judging.seam_limits import border_limits

        for classes, borders in self._borders.items():
            self._gate.limits[classes] = border_limits(borders)


def fit(calibration: Calibration, limits: Any) -> FittedGate:
    """Limits are measured when edits of some classes are first judged."""
    return SeamHidden(limits)


GATES.register(
    Gate(
        name="seam_hidden",
        rank=50,
        question="Are seams and detail no more visible than borders in real images?",
        refusal="visible seam or smear",
        columns=(
            Column(
                "gate_seam",
                pa.float32(),
                "How conspicuous seam, detail and fill are; 1 is the most that real borders show.",
                nullable=True,
                at_least=0,
            ),
            Column(
                "gate_cut_off",
                pa.float32(),
                "Share of the pasted outline that is the donor's border.",
                nullable=True,
                at_least=0,
                at_most=1,
            ),
        ),
        fit=fit,
    )
)
