"""Looking for segments again: the recipe's segmenter as the gates use it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from heml.recombination.gate import Resegment
from heml.segmentation.segmenter import SEGMENTERS
from heml.segmentation.segmenter_settings import SegmenterSettings
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

#: Images that are segmented together.
_BATCH = 8


def find_segmenter(
    store: Store, settings: SegmenterSettings, taxonomy: Taxonomy, base: Path
) -> Resegment | None:
    """The segmenter that made the store's segments; None where they were annotated.

    Parameters
    ----------
    store : Store
        Its segments stage is finished.
    settings : SegmenterSettings
    taxonomy : Taxonomy
        From the source's classes to leaves.
    base : pathlib.Path
        Where a relative checkpoint path starts: the recipe's folder.
    """
    segmenter = SEGMENTERS[settings.kind].finished(settings, store, taxonomy, base)
    if segmenter is None:
        return None

    def resegment(images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
        found = []
        for start in range(0, len(images), _BATCH):
            for prediction in segmenter.predict(images[start : start + _BATCH]):
                present = {i: prediction.ids == i for i in prediction.confidence}
                found.append({segmenter.leaves[i]: mask for i, mask in present.items()})
        return found

    return resegment
