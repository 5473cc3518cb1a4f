"""`recombined_samples`: one row per tried edit, accepted or not."""

import pyarrow as pa

from data_contracts.common import IMAGE, SEGMENT_MASK
from data_contracts.contract import Column, Contract
from data_contracts.rebalance_plan import EDIT_COLUMNS

#: In the order in which they are asked; the first that refuses is a sample's reason.
GATES = (
    "label_kept",
    "attribute_changed",
    "in_distribution",
    "not_duplicate",
    "seam_hidden",
    "segment_found",
)

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
        "gate_attribute",
        pa.float32(),
        "Share of the vote of the carrying nodes for the intended attribute, least over "
        "attributes.",
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
    Column(
        "gate_donor_distance",
        pa.float32(),
        "Share of differing bits of the perceptual hashes of sample and donor.",
        nullable=True,
        at_least=0,
        at_most=1,
    ),
    Column(
        "gate_seam",
        pa.float32(),
        "How conspicuous seam, detail and fill are; 1 is the most that real borders show.",
        nullable=True,
        at_least=0,
    ),
    Column(
        "gate_cut_off",
        pa.float32(),
        "Share of the pasted outline that is the donor's border.",
        nullable=True,
        at_least=0,
        at_most=1,
    ),
    Column(
        "gate_segment",
        pa.float32(),
        "Overlap (IoU) of the moved segments with those found again; null without a segmenter.",
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
        Column("refused_by", pa.list_(pa.string()), "Every gate that refused, in their order."),
        *GATE_COLUMNS,
        Column("image", IMAGE, "The sample as PNG."),
        Column("masks", pa.list_(SEGMENT_MASK), "Segments of the sample (COCO RLE)."),
        Column("width", pa.int32(), "Width in pixels.", at_least=1),
        Column("height", pa.int32(), "Height in pixels.", at_least=1),
    ),
    version=(1, 2),
)
