"""`segment_stability`: how segments of a sample of images hold when the image changes a little."""

import pyarrow as pa

from data_contracts.common import IMAGE_ID
from data_contracts.contract import Column, Contract

#: Small changes of an image, in the order in which they are made.
CHANGES = ("mirror", "shift", "zoom")


def _iou(name: str, words: str) -> Column:
    return Column(
        name,
        pa.float32(),
        f"IoU of the segment with that of the image {words}, 0 to 1; null: not measured.",
        nullable=True,
        at_least=0,
        at_most=1,
    )


SEGMENT_STABILITY = Contract(
    name="segment_stability",
    description="IoU of segments with those that the same segmenter finds in slightly changed "
    "images, for a sample of the images.",
    columns=(
        IMAGE_ID,
        Column("class_name", pa.string(), "Leaf that was found in the image or in a changed one."),
        Column("stability", pa.float32(), "Mean of the IoUs beside it.", at_least=0, at_most=1),
        _iou("mirror", "mirrored, left for right"),
        _iou("shift", "shifted by a 50th of its sides"),
        _iou("zoom", "enlarged, its middle nine tenths of each side"),
        Column(
            "word_agreement",
            pa.float32(),
            "Mean IoU of the pixels that each two words of the leaf find; null: fewer than two.",
            nullable=True,
            at_least=0,
            at_most=1,
        ),
        Column(
            "made_from", pa.binary(32), "Hash of the image and of everything that finds segments."
        ),
    ),
    unique_together=("image_id", "class_name"),
)
