"""`images`: one row per accepted input image."""

from dataclasses import replace

import pyarrow as pa

from data_contracts.common import IMAGE, IMAGE_ID, SPLITS
from data_contracts.contract import Column, Contract

IMAGES = Contract(
    name="images",
    description="Accepted image records. Further columns are the input's own, as `input.<name>`.",
    version=(1, 1),
    columns=(
        replace(IMAGE_ID, unique=True),
        Column(
            "image",
            IMAGE,
            "Encoded image and its relative path: the input's own bytes, or a PNG of the displayed "
            "pixels where 16 bits, transparency or EXIF data make readers differ.",
        ),
        Column(
            "mask",
            pa.binary(),
            "PNG of class ids (8 bit, ids of the taxonomy's classes), if annotated.",
            nullable=True,
        ),
        Column("width", pa.int32(), "Width in pixels as displayed.", at_least=1),
        Column("height", pa.int32(), "Height in pixels as displayed.", at_least=1),
        Column("split", pa.string(), "train, validation or test.", among=SPLITS),
        Column("label", pa.string(), "Value of the recipe's label column."),
        Column("sha256", pa.string(), "SHA-256 of the encoded image, hexadecimal."),
        Column("source_sha256", pa.string(), "SHA-256 of the image as the input has it."),
    ),
)
