"""`embeddings`: one row per image, one table per tree node."""

from dataclasses import replace

import pyarrow as pa

from data_contracts.common import IMAGE_ID, SPLITS
from data_contracts.contract import Column, Contract

EMBEDDINGS = Contract(
    name="embeddings",
    description="Embeddings of one node: by the network trained on the whole train split, and by "
    "the network of the image's own fold, which never saw the image.",
    columns=(
        replace(IMAGE_ID, unique=True),
        Column("split", pa.string(), "train, validation or test.", among=SPLITS),
        Column("fold", pa.int8(), "Cross-fitting fold of a train row, -1 for others.", at_least=-1),
        Column("present", pa.bool_(), "Whether the image has any pixel of the node."),
        Column("embedding", pa.list_(pa.float32()), "Embedding, zeros where the node is absent."),
        Column(
            "made_from",
            pa.binary(16),
            "Hash of the image, its segments, label and attributes; none where not known.",
            nullable=True,
        ),
        Column(
            "learned",
            pa.bool_(),
            "Whether a train image was there when the node was trained: all but one of its "
            "networks learned from it.",
        ),
    ),
    version=(1, 1),
)
