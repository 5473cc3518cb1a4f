"""Multi-similarity loss (Wang et al., CVPR 2019), written for a similarity in [-1, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.loss import LOSSES, Loss, LossContext

if TYPE_CHECKING:
    from heml.metrics.objective import Objective


class MultiSimilarityLoss(Loss):
    """Pairs weighted by their own and their relative similarity."""

    name: ClassVar[str] = "multi_similarity"
    rank: ClassVar[int] = 5
    description: ClassVar[str] = "pairs weighted by their own and their relative similarity"

    def objective(self, context: LossContext) -> Objective:
        """The loss as training minimizes it."""
        from pytorch_metric_learning import losses

        from heml.metrics.library_distances import LibrarySimilarity
        from heml.metrics.miners import build_miner
        from heml.metrics.objective import Objective

        loss = losses.MultiSimilarityLoss(distance=LibrarySimilarity(context.distance))
        return Objective(loss, build_miner(context, default="multi_similarity"))


LOSSES.register(MultiSimilarityLoss())
