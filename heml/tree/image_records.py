"""Images of a store with their segments, by id: of every split, where the tree has train alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from heml.images.images_table import ImageReader, decode_image, image_index
from heml.segmentation.masks import SegmentReader
from heml.storage.store import Store
from heml.tree.tree_error import TreeError, id_hint


class Records(Mapping[str, tuple[np.ndarray, dict[str, np.ndarray]]]):
    """Image id → (uint8 (H, W, 3), class name → bool (H, W)), read when asked for.

    Parameters
    ----------
    folder : path
        A store: `store/<recipe name>`.

    Raises
    ------
    FileNotFoundError
        If its images or segments stage has not run.

    Examples
    --------
    >>> records = Records("store/demo")
    >>> tree.explain(records["portrait-000700"], "portrait-000001")
    """

    def __init__(self, folder: str | Path) -> None:
        store = Store(Path(folder))
        self._images = ImageReader(store)
        self._segments = SegmentReader(store)
        self._ids = image_index(store, [])["image_id"].tolist()

    def __getitem__(self, image_id: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        if image_id not in self._images:
            raise TreeError(f"the store has no image '{image_id}'; {id_hint(image_id, self._ids)}")
        row = self._images.rows([image_id], ["image"])[0]
        return decode_image(row["image"]["bytes"]), self._segments.masks(image_id)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._images

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)
