"""Triplet margin loss (Schroff et al., "FaceNet", CVPR 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.loss import LOSSES, Loss, LossContext

if TYPE_CHECKING:
    from heml.metrics.objective import Objective


class TripletLoss(Loss):
    """Positives nearer than negatives by a margin."""

    name: ClassVar[str] = "triplet"
    rank: ClassVar[int] = 0
    description: ClassVar[str] = "positives nearer than negatives by metric.margin"

    def objective(self, context: LossContext) -> Objective:
        """The loss as training minimizes it."""
        from pytorch_metric_learning import losses, reducers

        from heml.metrics.library_distances import LibraryDistance
        from heml.metrics.miners import build_miner
        from heml.metrics.objective import TripletObjective

        loss = losses.TripletMarginLoss(
            context.margin,
            distance=LibraryDistance(context.distance),
            reducer=reducers.DoNothingReducer(),
        )
        return TripletObjective(loss, build_miner(context, triplets=True))


LOSSES.register(TripletLoss())
