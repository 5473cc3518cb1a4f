"""`segments`: one row per image and semantic class present in it."""

import pyarrow as pa

from data_contracts.common import IMAGE_ID
from data_contracts.contract import Column, Contract

#: Reasons to doubt a segment: too few pixels, or too low a probability.
DOUBTS = ("small", "unsure")

SEGMENTS = Contract(
    name="segments",
    description="Semantic segments: mask, area, box and confidence per image and class.",
    columns=(
        IMAGE_ID,
        Column("class_name", pa.string(), "Semantic class, as the taxonomy names it."),
        Column("rle", pa.string(), "Mask as COCO compressed RLE counts (height × width)."),
        Column("height", pa.int32(), "Height of the mask in pixels.", at_least=1),
        Column("width", pa.int32(), "Width of the mask in pixels.", at_least=1),
        Column("area", pa.int64(), "Pixels of the segment.", at_least=1),
        Column("box_x", pa.int32(), "Left edge of the bounding box in pixels.", at_least=0),
        Column("box_y", pa.int32(), "Top edge of the bounding box in pixels.", at_least=0),
        Column("box_width", pa.int32(), "Width of the bounding box in pixels.", at_least=1),
        Column("box_height", pa.int32(), "Height of the bounding box in pixels.", at_least=1),
        Column(
            "confidence",
            pa.float32(),
            "Mean probability of the class over the segment, 1 if annotated.",
            at_least=0,
            at_most=1,
        ),
        Column(
            "doubt",
            pa.string(),
            "Why the segment is doubted by the recipe's limits; null: it is not.",
            nullable=True,
            among=DOUBTS,
        ),
        Column("segmenter", pa.string(), "What made the mask: 'annotated' or a checkpoint's id."),
        Column("segmenter_licence", pa.string(), "License of the segmenter.", nullable=True),
    ),
    unique_together=("image_id", "class_name"),
)
