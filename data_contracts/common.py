"""Column types and columns that several tables share."""

import pyarrow as pa

from data_contracts.contract import Column

#: An image as the Hugging Face `Image` feature stores it.
IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

#: One semantic segment as COCO compressed run-length encoding.
SEGMENT_MASK = pa.struct([pa.field("class_name", pa.string()), pa.field("rle", pa.string())])

#: Pixels of a recombined image that come from one place: the host, the donor, filled or generated.
PIXEL_ORIGIN = pa.struct([pa.field("origin", pa.string()), pa.field("rle", pa.string())])

SPLITS = ("train", "validation", "test")

#: Prefix of the input's own columns in internal tables: they can never collide with ours.
INPUT_PREFIX = "input."

IMAGE_ID = Column("image_id", pa.string(), "Unique id of the image, from its file name or source.")


def number(
    name: str, description: str, at_least: float | None = None, at_most: float | None = None
) -> Column:
    """A measure, missing where it cannot be taken."""
    return Column(
        name, pa.float64(), description, nullable=True, at_least=at_least, at_most=at_most
    )


def proportion(name: str, description: str) -> Column:
    """A measure in [0, 1], missing where it cannot be taken."""
    return number(name, description, at_least=0, at_most=1)


def input_columns(names: list[str]) -> list[Column]:
    """The input's metadata columns, as text, under `INPUT_PREFIX`."""
    return [
        Column(INPUT_PREFIX + name, pa.string(), f"The input's column '{name}'.", nullable=True)
        for name in names
    ]
