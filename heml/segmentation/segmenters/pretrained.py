"""Segments from a transformers semantic-segmentation checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from heml.compute.checkpoints import checkpoint_identity, resolve_checkpoint
from heml.segmentation.loader import Loader
from heml.segmentation.prediction import Predictor
from heml.segmentation.segmenter import SEGMENTERS, PredictorSegmenter, SegmentationContext
from heml.segmentation.segmenter_settings import PredictorSettings
from heml.storage.store import Store
from heml.taxonomy import Taxonomy


class PretrainedSegmentation(PredictorSettings):
    """Segments from a transformers semantic-segmentation checkpoint."""

    kind: Literal["pretrained"]
    checkpoint: str = Field(
        min_length=1, description="Name on the Hub, or a folder relative to the recipe file."
    )
    classes: dict[str, str | None] = Field(
        default_factory=dict,
        description="Checkpoint's class name → leaf or class of the taxonomy; null: ignored. "
        "Classes that are not named here are matched by name.",
    )
    licence: str | None = Field(
        None, description="License of the checkpoint; default: what its model card says."
    )
    allow_pickle: bool = Field(
        False, description="Also load weights that are not safetensors. They can run code."
    )


class Pretrained(PredictorSegmenter):
    """A published or local checkpoint, its classes mapped to leaves by name."""

    name: ClassVar[str] = "pretrained"
    rank: ClassVar[int] = 1
    description: ClassVar[str] = "a transformers semantic-segmentation checkpoint"
    settings: ClassVar[type[PredictorSettings]] = PretrainedSegmentation

    def state(
        self, settings: PretrainedSegmentation, taxonomy: Taxonomy, base: Path
    ) -> list[object]:
        """Leaves, and the checkpoint's content or revision."""
        checkpoint = resolve_checkpoint(settings.checkpoint, base)
        return [*super().state(settings, taxonomy, base), checkpoint_identity(checkpoint)]

    def prepare(
        self, settings: PretrainedSegmentation, context: SegmentationContext
    ) -> tuple[Callable[[], Predictor], Mapping[str, Any]]:
        """Nothing is fitted."""
        return self._loader(settings, context.taxonomy, context.base), {}

    def finished(
        self, settings: PretrainedSegmentation, store: Store, taxonomy: Taxonomy, base: Path
    ) -> Predictor | None:
        """The checkpoint."""
        return self._loader(settings, taxonomy, base)()

    @staticmethod
    def _loader(settings: PretrainedSegmentation, taxonomy: Taxonomy, base: Path) -> Loader:
        return Loader(
            "heml.segmentation.network:load_segmenter",
            checkpoint=resolve_checkpoint(settings.checkpoint, base),
            taxonomy=taxonomy,
            overrides=settings.classes,
            licence=settings.licence,
            allow_pickle=settings.allow_pickle,
            device=settings.device,
        )


SEGMENTERS.register(Pretrained())
