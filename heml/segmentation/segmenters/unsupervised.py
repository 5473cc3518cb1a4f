"""Object and background from plain images: no checkpoint, no masks, no words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from heml.segmentation.loader import Loader
from heml.segmentation.prediction import Predictor
from heml.segmentation.segmenter import (
    SEGMENTERS,
    PredictorSegmenter,
    SegmentationContext,
    SegmentationJob,
)
from heml.segmentation.segmenter_settings import PredictorSettings
from heml.storage.store import Store
from heml.taxonomy import BACKGROUND, Taxonomy, nearest

#: Of how it is fitted: a store's is fitted again after a change.
VERSION = 5
#: What the table names it, before its fingerprint.
_PREFIX = "unsupervised:"


class UnsupervisedSegmentation(PredictorSettings):
    """Object and background from plain images: coarse, without checkpoint and without masks."""

    kind: Literal["unsupervised"]
    background: str | None = Field(
        None,
        description="Leaf of what lies behind the object. Default: the one named background, "
        "surroundings, rest, backdrop, scene or scenery.",
    )
    most_images: int = Field(
        1000, ge=1, description="Train images that are looked at to learn what the set has."
    )
    seed: int = Field(0, ge=0)


class Unsupervised(PredictorSegmenter):
    """What stands out of its image where the objects of the set are."""

    name: ClassVar[str] = "unsupervised"
    rank: ClassVar[int] = 4
    description: ClassVar[str] = "object and background, coarse, from the images alone"
    settings: ClassVar[type[PredictorSettings]] = UnsupervisedSegmentation

    def own_leaves(self, settings: UnsupervisedSegmentation) -> dict[str, list[str]]:
        """An object and what lies behind it."""
        return {"object": [], settings.background or BACKGROUND: []}

    def problems(
        self, settings: UnsupervisedSegmentation, taxonomy: Taxonomy
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        """Leaves that are not an object and a background."""
        if len(taxonomy.leaves) != 2:
            yield (
                ("kind",),
                f"unsupervised finds an object and a background; the taxonomy has "
                f"{len(taxonomy.leaves)} leaves, not two: write leaves {{object: [object], "
                "background: [background]}",
            )
        elif settings.background is not None and settings.background not in taxonomy.leaves:
            yield (
                ("background",),
                f"no such leaf; {nearest(settings.background, taxonomy.leaves)}",
            )
        elif background_leaf(settings, taxonomy) is None:
            yield (
                ("background",),
                f"say which of the leaves {' and '.join(taxonomy.leaves)} lies behind the other",
            )

    def state(
        self, settings: UnsupervisedSegmentation, taxonomy: Taxonomy, base: Path
    ) -> list[object]:
        """Leaves, and the version of fitting."""
        return [*super().state(settings, taxonomy, base), VERSION]

    def learned_from(self, settings: UnsupervisedSegmentation, store: Store) -> str | None:
        """Train images that it is fitted on: other images are another segmenter."""
        from heml.segmentation.unsupervised.fitted import fitted_on

        return fitted_on(store, settings.most_images)[1]

    def prepare(
        self, settings: UnsupervisedSegmentation, context: SegmentationContext
    ) -> tuple[Callable[[], Predictor], Mapping[str, Any]]:
        """Fits it, or finds it in the store."""
        from heml.images.closed_form import prepare_matting
        from heml.segmentation.unsupervised.fitted import fitted_folder

        prepare_matting("segmenter", context.progress)
        folder, facts = fitted_folder(
            context.store, context.key, settings.most_images, settings.seed, context.progress
        )
        return self._loader(settings, folder, context.taxonomy, context.key), facts

    def trial(
        self, settings: UnsupervisedSegmentation, context: SegmentationContext, store: Store
    ) -> SegmentationJob:
        """The one that the store's segments were made with; else one that learns from the few."""
        try:
            made_with = str(store.summary("segments")["segmenter"])
        except (FileNotFoundError, KeyError):  # no segments yet, or annotated ones
            return self.job(settings, context)
        folder = store.segmenter / made_with.removeprefix(_PREFIX)
        if not made_with.startswith(_PREFIX) or not folder.is_dir():
            return self.job(settings, context)
        load = self._loader(settings, folder, context.taxonomy, folder.name)
        return self._job(settings, context, load, {})

    def finished(
        self, settings: UnsupervisedSegmentation, store: Store, taxonomy: Taxonomy, base: Path
    ) -> Predictor | None:
        """The one that the store's segments were made with."""
        key = str(store.summary("segments")["segmenter"]).removeprefix(_PREFIX)
        return self._loader(settings, store.segmenter / key, taxonomy, key)()

    @staticmethod
    def _loader(
        settings: UnsupervisedSegmentation, folder: Path, taxonomy: Taxonomy, key: str
    ) -> Loader:
        behind = background_leaf(settings, taxonomy)
        assert behind is not None
        return Loader(
            "heml.segmentation.unsupervised.finder:load_finder",
            folder=folder,
            leaves=list(taxonomy.leaves),
            background=behind,
            name=f"{_PREFIX}{key}",
        )


def background_leaf(settings: UnsupervisedSegmentation, taxonomy: Taxonomy) -> str | None:
    """The leaf that lies behind the object; None where neither the recipe nor its name says so."""
    return taxonomy.background if settings.background is None else settings.background


SEGMENTERS.register(Unsupervised())
