"""N-pairs loss (Sohn, NeurIPS 2016): a softmax over negative distances."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.loss import LOSSES, Loss, LossContext

if TYPE_CHECKING:
    from heml.metrics.objective import Objective


class NPairsLoss(Loss):
    """One positive against a negative of every other label."""

    name: ClassVar[str] = "n_pairs"
    rank: ClassVar[int] = 3
    description: ClassVar[str] = "one positive against a negative of every other label"
    mines: ClassVar[bool] = False

    def objective(self, context: LossContext) -> Objective:
        """The loss as training minimizes it."""
        from pytorch_metric_learning import losses

        from heml.metrics.library_distances import LibraryDistance
        from heml.metrics.miners import no_miner
        from heml.metrics.objective import NPairsObjective

        loss = losses.NPairsLoss(distance=LibraryDistance(context.distance))
        return NPairsObjective(loss, no_miner)


LOSSES.register(NPairsLoss())
