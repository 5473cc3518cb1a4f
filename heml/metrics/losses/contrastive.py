"""Contrastive loss (Hadsell et al., CVPR 2006)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.loss import LOSSES, Loss, LossContext

if TYPE_CHECKING:
    from heml.metrics.objective import Objective


class ContrastiveLoss(Loss):
    """Distance 0 within a label, at least 1 between labels."""

    name: ClassVar[str] = "contrastive"
    rank: ClassVar[int] = 1
    description: ClassVar[str] = "distance 0 within a label, at least 1 between labels"

    def objective(self, context: LossContext) -> Objective:
        """The loss as training minimizes it."""
        from pytorch_metric_learning import losses

        from heml.metrics.library_distances import LibraryDistance
        from heml.metrics.miners import build_miner
        from heml.metrics.objective import Objective

        loss = losses.ContrastiveLoss(
            pos_margin=0, neg_margin=1, distance=LibraryDistance(context.distance)
        )
        return Objective(loss, build_miner(context))


LOSSES.register(ContrastiveLoss())
