"""`rebalanced_dataset`: the rows that users load."""

from dataclasses import replace

import pyarrow as pa

from data_contracts.common import IMAGE, IMAGE_ID, PIXEL_ORIGIN, SEGMENT_MASK
from data_contracts.contract import Column, Columns, Contract
from data_contracts.rebalance_plan import OPERATOR_NAMES
from data_contracts.recombined_samples import GATE_COLUMNS

ORIGINS = ("real", "recombined")

#: The input's columns come between `image` and `origin`.
REBALANCED_DATASET = Contract(
    name="rebalanced_dataset",
    description="The rebalanced dataset: real rows untouched, recombined rows with their descent.",
    version=(1, 3),
    columns=Columns(
        replace(IMAGE_ID, unique=True),
        Column("image", IMAGE, "Encoded image; of real rows as the table `images` has it."),
        Column("origin", pa.string(), "real or recombined.", among=ORIGINS),
        Column("host_id", pa.string(), "Image the sample started from.", nullable=True),
        Column("donor_ids", pa.list_(pa.string()), "Images its segments came from."),
        Column("nodes", pa.list_(pa.string()), "Tree nodes that were exchanged."),
        Column(
            "recolored_nodes",
            pa.list_(pa.string()),
            "Leaves of the host that got the donor's colors, or those of another attribute value.",
        ),
        Column("operator", pa.string(), "How.", nullable=True, among=OPERATOR_NAMES),
        Column("direction", pa.string(), "What was moved.", nullable=True),
        Column("seed", pa.int64(), "Seed of the edit.", nullable=True),
        Column(
            "origins",
            pa.list_(PIXEL_ORIGIN),
            "Of a recombined image the place that each pixel comes from (COCO compressed RLE); "
            "empty for real rows, whose pixels are all their own.",
        ),
        Column(
            "generator",
            pa.string(),
            "Model that drew pixels of the image; empty if none did.",
            nullable=True,
        ),
        Column("generator_revision", pa.string(), "Its revision or hash.", nullable=True),
        Column("generator_licence", pa.string(), "License of the model.", nullable=True),
        GATE_COLUMNS,
        Column(
            "weight",
            pa.float64(),
            "Sample weight: groups of train weigh as the plan aims, equally by default; real rows "
            "have the same share of every group of an attribute, as far as possible.",
        ),
        Column("group", pa.string(), "Label and attributes in words: the group of the row."),
        Column("recipe_fingerprint", pa.string(), "Fingerprint of the recipe and its input."),
        Column("code_fingerprint", pa.string(), "Fingerprint of the code that made the row."),
        Column("licence", pa.string(), "License of the image, as the recipe says.", nullable=True),
        Column("segmenter", pa.string(), "What made the masks."),
        Column("segmenter_licence", pa.string(), "License of the segmenter.", nullable=True),
        Column("masks", pa.list_(SEGMENT_MASK), "Segments (COCO compressed RLE)."),
        Column("width", pa.int32(), "Width in pixels.", at_least=1),
        Column("height", pa.int32(), "Height in pixels.", at_least=1),
    ),
)
