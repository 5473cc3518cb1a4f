"""Proxy-anchor loss (Kim et al., CVPR 2020), written for a similarity in [-1, 1]."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.loss import LOSSES, Loss, LossContext

if TYPE_CHECKING:
    from heml.metrics.objective import Objective


class ProxyAnchorLoss(Loss):
    """Images against one learned proxy per label."""

    name: ClassVar[str] = "proxy_anchor"
    rank: ClassVar[int] = 6
    description: ClassVar[str] = "images against one learned proxy per label"
    mines: ClassVar[bool] = False

    def objective(self, context: LossContext) -> Objective:
        """The loss as training minimizes it."""
        from pytorch_metric_learning import losses

        from heml.compute.threads import seeded
        from heml.metrics.library_distances import LibrarySimilarity
        from heml.metrics.miners import no_miner
        from heml.metrics.objective import Objective

        # Proxies learn with the network and are not needed afterwards.
        with seeded(context.seed):
            loss = losses.ProxyAnchorLoss(
                context.classes, context.embedding, distance=LibrarySimilarity(context.distance)
            )
        return Objective(loss, no_miner)


LOSSES.register(ProxyAnchorLoss())
