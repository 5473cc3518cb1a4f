"""Segments from a SegFormer fitted on the annotated train images of the dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

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
from heml.storage.fingerprint import fingerprint
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

if TYPE_CHECKING:
    from heml.segmentation.pseudo_labels import Labeler

#: Of how a segmenter is fitted: a store's is fitted again after a change.
VERSION = 6
#: What the table names a fitted segmenter, before its fingerprint.
_PREFIX = "trained:"


class Trained(PredictorSegmenter):
    """A segmenter of the dataset's own, kept in the store under its fingerprint."""

    name: ClassVar[str] = "trained"
    rank: ClassVar[int] = 2
    description: ClassVar[str] = "a SegFormer fitted on the annotated train images"
    settings: ClassVar[type[PredictorSettings]] = TrainedSegmentation
    learns_from_masks: ClassVar[bool] = True

    def state(self, settings: TrainedSegmentation, taxonomy: Taxonomy, base: Path) -> list[object]:
        """Leaves, the version of fitting, and the checkpoint that it starts from."""
        state = [*super().state(settings, taxonomy, base), VERSION]
        if settings.checkpoint is not None:
            state.append(checkpoint_identity(resolve_checkpoint(settings.checkpoint, base)))
        if (chosen := settings.pseudo_labels) is not None:
            state.append(_pseudo_labeler(chosen).state(chosen, taxonomy, base))
        return state

    def problems(
        self, settings: TrainedSegmentation, taxonomy: Taxonomy
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        """What the segmenter of the pseudo-labels says of its own settings."""
        if (chosen := settings.pseudo_labels) is None:
            return
        for path, problem in _pseudo_labeler(chosen).problems(chosen, taxonomy):
            yield ("pseudo_labels", *path), problem
        if chosen.corrections is not None:
            yield (
                ("pseudo_labels", "corrections"),
                "corrections are of the images' segments: name the file one level up",
            )

    def learned_from(self, settings: TrainedSegmentation, store: Store) -> str | None:
        """Annotated train images, with pseudo-labels the others too: another such image is
        another segmenter.
        """
        from heml.segmentation.train_content import train_content

        chosen = settings.pseudo_labels
        if chosen is None:
            return train_content(store, annotated_only=True)
        return fingerprint(
            train_content(store, annotated_only=False),
            _pseudo_labeler(chosen).learned_from(chosen, store),
        )

    def keeps_masks(self, settings: TrainedSegmentation) -> bool:
        """As the settings say."""
        return settings.apply == "missing"

    def prepare(
        self, settings: TrainedSegmentation, context: SegmentationContext
    ) -> tuple[Callable[[], Predictor], Mapping[str, Any]]:
        """Fits it, or finds it in the store."""
        from heml.segmentation.segformer import fitted_segmenter

        fitted = fitted_segmenter(
            context.store,
            context.key,
            settings,
            context.leaf_of_class(),
            list(context.taxonomy.leaves),
            settings.checkpoint and resolve_checkpoint(settings.checkpoint, context.base),
            self._labeler(settings, context),
            context.progress,
        )
        return self._loader(settings, fitted.folder, context.taxonomy, context.key), fitted.facts

    @staticmethod
    def _labeler(settings: TrainedSegmentation, context: SegmentationContext) -> Labeler | None:
        """The other segmenter, in the same store under a fingerprint of its own."""
        from heml.segmentation.pseudo_labels import Labeler

        chosen = settings.pseudo_labels
        if chosen is None:
            return None
        segmenter = _pseudo_labeler(chosen)

        def load() -> Predictor:
            key = fingerprint(
                chosen.described(),
                segmenter.state(chosen, context.taxonomy, context.base),
                segmenter.learned_from(chosen, context.store),
            )
            return segmenter.prepare(chosen, replace(context, key=key))[0]()

        return Labeler(chosen, load)

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
            licence=_licence(folder),
            allow_pickle=False,
            device=settings.device,
            name=f"{_PREFIX}{key}",
        )


def _pseudo_labeler(settings: PredictorSettings) -> PredictorSegmenter:
    segmenter = SEGMENTERS[settings.kind]
    assert isinstance(segmenter, PredictorSegmenter)
    return segmenter


def _licence(folder: Path) -> str | None:
    """What was learned from another segmenter's labels has its license."""
    from heml.segmentation.fitted_segmenter import Fitted

    fitted = Fitted.read(folder)
    return None if fitted is None else fitted.licence


SEGMENTERS.register(Trained())
