"""Looking for segments again: the recipe's segmenter as the gates use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from heml.recombination.gate import Resegment
from heml.segmentation.segmentation_settings import (
    PretrainedSegmentation,
    SegmentationSettings,
    TrainedSegmentation,
)
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

#: Images that are segmented together.
_BATCH = 8
#: What the segments stage names a segmenter that it fitted, before its fingerprint.
_FITTED = "trained:"


def find_segmenter(
    store: Store, settings: SegmentationSettings, taxonomy: Taxonomy, base: Path
) -> Resegment | None:
    """The segmenter that made the store's segments; None where they were annotated.

    Parameters
    ----------
    store : Store
        Its segments stage is finished.
    settings : SegmentationSettings
    taxonomy : Taxonomy
        From the source's classes to leaves.
    base : pathlib.Path
        Where a relative checkpoint path starts: the recipe's folder.
    """
    if not isinstance(settings, PretrainedSegmentation | TrainedSegmentation):
        return None
    from heml.segmentation.segmenter import load_segmenter, resolve_checkpoint

    if isinstance(settings, PretrainedSegmentation):
        segmenter = load_segmenter(
            resolve_checkpoint(settings.checkpoint, base),
            taxonomy,
            settings.classes,
            settings.licence,
            settings.allow_pickle,
            settings.device,
        )
    else:
        name = str(store.summary("segments")["segmenter"])
        segmenter = load_segmenter(
            str(store.segmenter / name.removeprefix(_FITTED)),
            taxonomy.at_leaf_level(),
            {},
            None,
            allow_pickle=False,
            device=settings.device,
            name=name,
        )

    def resegment(images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
        found = []
        for start in range(0, len(images), _BATCH):
            for prediction in segmenter.predict(images[start : start + _BATCH]):
                present = {i: prediction.ids == i for i in prediction.confidence}
                found.append({segmenter.leaves[i]: mask for i, mask in present.items()})
        return found

    return resegment
