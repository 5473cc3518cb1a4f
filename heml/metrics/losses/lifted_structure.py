"""Lifted structure loss (Song et al., CVPR 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.loss import LOSSES, Loss, LossContext

if TYPE_CHECKING:
    from heml.metrics.objective import Objective


class LiftedStructureLoss(Loss):
    """Every positive pair against all negatives of both images."""

    name: ClassVar[str] = "lifted_structure"
    rank: ClassVar[int] = 4
    description: ClassVar[str] = "every positive pair against all negatives of both images"
    mines: ClassVar[bool] = False

    def objective(self, context: LossContext) -> Objective:
        """The loss as training minimizes it."""
        from pytorch_metric_learning import losses

        from heml.metrics.library_distances import LibraryDistance
        from heml.metrics.miners import build_miner
        from heml.metrics.objective import Objective

        loss = losses.LiftedStructureLoss(
            pos_margin=0, neg_margin=1, distance=LibraryDistance(context.distance)
        )
        return Objective(loss, build_miner(context))


LOSSES.register(LiftedStructureLoss())
