"""`recombined_samples`: one row per tried edit, accepted or not."""

import pyarrow as pa

from data_contracts.common import IMAGE, SEGMENT_MASK
from data_contracts.contract import Column, Contract
from data_contracts.rebalance_plan import EDIT_COLUMNS

GATES = ("label_kept", "group_changed", "in_distribution", "not_duplicate")

GATE_COLUMNS = (
    Column(
        "gate_label",
        pa.float32(),
        "Share of the vote of the label's nodes for the intended label.",
        nullable=True,
        at_least=0,
        at_most=1,
    ),
    Column(
        "gate_group",
        pa.float32(),
        "Share of the vote of the carrying nodes for the intended group, least over groups.",
        nullable=True,
        at_least=0,
        at_most=1,
    ),
    Column(
        "gate_distribution",
        pa.float32(),
        "Distance to the nearest real images at the root, over its calibrated limit.",
        nullable=True,
        at_least=0,
    ),
    Column(
        "gate_change",
        pa.float32(),
        "Share of pixels changed visibly from the host.",
        nullable=True,
        at_least=0,
        at_most=1,
    ),
)

RECOMBINED_SAMPLES = Contract(
    name="recombined_samples",
    description="Recombined samples with the result of every gate; refused ones are kept.",
    columns=(
        *EDIT_COLUMNS,
        Column("accepted", pa.bool_(), "Whether the sample passed all gates and was needed."),
        Column(
            "reason",
            pa.string(),
            "Empty if accepted, otherwise the gate that refused it, or why it was not needed.",
        ),
        *GATE_COLUMNS,
        Column("image", IMAGE, "The sample as PNG."),
        Column("masks", pa.list_(SEGMENT_MASK), "Segments of the sample (COCO RLE)."),
        Column("width", pa.int32(), "Width in pixels.", at_least=1),
        Column("height", pa.int32(), "Height in pixels.", at_least=1),
    ),
)
