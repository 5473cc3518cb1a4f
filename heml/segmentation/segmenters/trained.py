"""Segments from a SegFormer fitted on the annotated train images of the dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from heml.compute.checkpoints import checkpoint_identity, resolve_checkpoint
from heml.segmentation.loader import Loader
from heml.segmentation.prediction import Predictor
from heml.segmentation.segmenter import (
    SEGMENTERS,
    NotFitted,
    PredictorSegmenter,
    SegmentationContext,
    SegmentationJob,
)
from heml.segmentation.segmenter_settings import PredictorSettings
from heml.segmentation.trained_settings import TrainedSegmentation
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

#: Of how a segmenter is fitted: a store's is fitted again after a change.
VERSION = 3
#: What the table names a fitted segmenter, before its fingerprint.
_PREFIX = "trained:"


class Trained(PredictorSegmenter):
    """A segmenter of the dataset's own, kept in the store under its fingerprint."""

    name: ClassVar[str] = "trained"
    rank: ClassVar[int] = 2
    description: ClassVar[str] = "a SegFormer fitted on the annotated train images"
    settings: ClassVar[type[PredictorSettings]] = TrainedSegmentation

    def state(self, settings: TrainedSegmentation, taxonomy: Taxonomy, base: Path) -> list[object]:
        """Leaves, the version of fitting, and the checkpoint that it starts from."""
        state = [*super().state(settings, taxonomy, base), VERSION]
        if settings.checkpoint is not None:
            state.append(checkpoint_identity(resolve_checkpoint(settings.checkpoint, base)))
        return state

    def learned_from(self, settings: TrainedSegmentation, store: Store) -> str | None:
        """Annotated train images: another such image is another segmenter."""
        from heml.segmentation.annotated_content import annotated_content

        return annotated_content(store)

    def keeps_masks(self, settings: TrainedSegmentation) -> bool:
        """As the settings say."""
        return settings.apply == "missing"

    def prepare(
        self, settings: TrainedSegmentation, context: SegmentationContext
    ) -> tuple[Callable[[], Predictor], Mapping[str, Any]]:
        """Fits it, or finds it in the store."""
        from heml.segmentation.segformer import fitted_segmenter

        checkpoint = settings.checkpoint and resolve_checkpoint(settings.checkpoint, context.base)
        fitted = fitted_segmenter(
            context.store,
            context.key,
            settings,
            context.leaf_of_class(),
            list(context.taxonomy.leaves),
            checkpoint,
            context.progress,
        )
        held_out = fitted.held_out
        facts = {
            "mean_iou": round(held_out.value, 6),
            "mean_iou_low": round(held_out.low, 6),
            "mean_iou_high": round(held_out.high, 6),
            "iou": {n: v if v is None else round(v, 6) for n, v in held_out.by_class.items()},
            "held_out_images": held_out.images,
            "fitted_images": fitted.images,
        }
        return self._loader(settings, fitted.folder, context.taxonomy, context.key), facts

    def trial(
        self, settings: TrainedSegmentation, context: SegmentationContext, store: Store
    ) -> SegmentationJob:
        """The one that the store's segments were made with."""
        try:
            store.summary("segments")
        except FileNotFoundError as error:
            raise NotFitted(
                "segmentation.kind: trained is fitted on all annotated train images by the "
                "segments stage, which has not run; run it first, or try another kind"
            ) from error

        def load() -> Predictor:
            predictor = self.finished(settings, store, context.taxonomy, context.base)
            assert predictor is not None
            return predictor

        return self._job(settings, context, load, {})

    def finished(
        self, settings: TrainedSegmentation, store: Store, taxonomy: Taxonomy, base: Path
    ) -> Predictor | None:
        """The one that the store's segments were made with."""
        key = str(store.summary("segments")["segmenter"]).removeprefix(_PREFIX)
        return self._loader(settings, store.segmenter / key, taxonomy, key)()

    @staticmethod
    def _loader(
        settings: TrainedSegmentation, folder: Path, taxonomy: Taxonomy, key: str
    ) -> Loader:
        return Loader(
            "heml.segmentation.network:load_segmenter",
            checkpoint=str(folder),
            taxonomy=taxonomy.at_leaf_level(),
            overrides={},
            licence=None,
            allow_pickle=False,
            device=settings.device,
            name=f"{_PREFIX}{key}",
        )


SEGMENTERS.register(Trained())
