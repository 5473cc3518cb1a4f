"""What a segmenter of the dataset's own is fitted on and measured with."""

from __future__ import annotations

import hashlib

from heml.images.images_table import iterate_images
from heml.segmentation.cache import image_key
from heml.storage.store import Store


def train_content(store: Store, annotated_only: bool) -> str:
    """Hash of the train images and their masks.

    Parameters
    ----------
    store : Store
    annotated_only : bool
        Whether images without a mask are left out.
    """
    content = hashlib.sha256()
    for batch in iterate_images(store, ["image_id", "split", "sha256", "mask"]):
        for row in batch.to_pylist():
            if row["split"] == "train" and (row["mask"] is not None or not annotated_only):
                content.update(row["image_id"].encode() + image_key(row["sha256"], row["mask"]))
    return content.hexdigest()
