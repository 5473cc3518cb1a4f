"""`recombined_samples`: one row per tried edit, accepted or not."""

import pyarrow as pa

from data_contracts.common import IMAGE, SEGMENT_MASK
from data_contracts.contract import Column, Columns, Contract, OpenColumns
from data_contracts.rebalance_plan import EDIT_COLUMNS

#: Provided by the registry of gates.
GATE_COLUMNS = OpenColumns("gate columns", "heml.recombination.gate")

RECOMBINED_SAMPLES = Contract(
    name="recombined_samples",
    description="Recombined samples with the result of every gate; refused ones are kept.",
    columns=Columns(
        *EDIT_COLUMNS,
        Column("accepted", pa.bool_(), "Whether the sample passed all gates and was needed."),
        Column(
            "reason",
            pa.string(),
            "Empty if accepted, otherwise the gate that refused it, or why it was not needed.",
        ),
        Column("refused_by", pa.list_(pa.string()), "Every gate that refused, in their order."),
        GATE_COLUMNS,
        Column("image", IMAGE, "The sample as PNG."),
        Column("masks", pa.list_(SEGMENT_MASK), "Segments of the sample (COCO RLE)."),
        Column("width", pa.int32(), "Width in pixels.", at_least=1),
        Column("height", pa.int32(), "Height in pixels.", at_least=1),
    ),
    version=(2, 0),
)
