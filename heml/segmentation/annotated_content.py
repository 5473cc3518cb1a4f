"""What a segmenter of the dataset's own is fitted on and measured with."""

from __future__ import annotations

import hashlib

from heml.images.images_table import iterate_images
from heml.segmentation.cache import image_key
from heml.storage.store import Store


def annotated_content(store: Store) -> str:
    """Hash of the annotated train images."""
    content = hashlib.sha256()
    for batch in iterate_images(store, ["image_id", "split", "sha256", "mask"]):
        for row in batch.to_pylist():
            if row["split"] == "train" and row["mask"] is not None:
                content.update(row["image_id"].encode() + image_key(row["sha256"], row["mask"]))
    return content.hexdigest()
