"""Contrastive loss of the SNR distance with its zero-mean regularizer (Yuan et al., CVPR 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from heml.metrics.loss import LOSSES, Loss, LossContext

if TYPE_CHECKING:
    from heml.metrics.objective import Objective

#: Weight of the zero-mean regularizer against the loss itself, as in the paper.
ZERO_MEAN_WEIGHT = 0.1


class SNRContrastiveLoss(Loss):
    """Contrastive loss with embeddings that are pulled to mean zero."""

    name: ClassVar[str] = "snr_contrastive"
    rank: ClassVar[int] = 2
    description: ClassVar[str] = (
        "contrastive, with embeddings pulled to mean zero; for distance snr"
    )
    only_distance: ClassVar[str | None] = "snr"

    def objective(self, context: LossContext) -> Objective:
        """The loss as training minimizes it."""
        from pytorch_metric_learning import losses, regularizers

        from heml.metrics.library_distances import LibraryDistance
        from heml.metrics.miners import build_miner
        from heml.metrics.objective import Objective

        loss = losses.ContrastiveLoss(
            pos_margin=0,
            neg_margin=1,
            distance=LibraryDistance(context.distance),
            embedding_regularizer=regularizers.ZeroMeanRegularizer(),
            embedding_reg_weight=ZERO_MEAN_WEIGHT,
        )
        return Objective(loss, build_miner(context))


LOSSES.register(SNRContrastiveLoss())
