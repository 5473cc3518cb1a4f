"""`recombined_samples`: one row per tried edit, accepted or not."""

import pyarrow as pa

from data_contracts.common import IMAGE, PIXEL_ORIGIN, SEGMENT_MASK
from data_contracts.contract import Column, Columns, Contract, OpenColumns
from data_contracts.rebalance_plan import EDIT_COLUMNS

#: Where pixels of a sample come from. host: the image it started from, recolored at most. donor:
#: the image that the nodes were taken from. filled: computed from surrounding pixels. generated:
#: drawn by a diffusion model.
PIXEL_ORIGINS = ("host", "donor", "filled", "generated")

#: Says where pixels come from; the dataset has these columns too.
ORIGIN_COLUMNS = (
    Column(
        "origins",
        pa.list_(PIXEL_ORIGIN),
        "Origin of every pixel: host, donor, filled or generated (COCO compressed RLE).",
    ),
    Column(
        "generator",
        pa.string(),
        "Checkpoint that drew the generated pixels; null where there are none.",
        nullable=True,
    ),
    Column(
        "generator_revision",
        pa.string(),
        "Its commit on the Hub, or the SHA-256 of its files.",
        nullable=True,
    ),
    Column(
        "generator_licence",
        pa.string(),
        "License of the checkpoint, as its model card states it.",
        nullable=True,
    ),
)

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
        Column(
            "misfit",
            pa.float32(),
            "How far a moved segment is from where, and from how large, the host's own was, in its "
            "extents; where the label is moved, with the difference in light of host and donor. Of "
            "exchanged scenery: its filled share and how else its own foreground was placed. Null "
            "where no segment replaces one of its kind.",
            nullable=True,
            at_least=0,
        ),
        Column(
            "critic",
            pa.float32(),
            "Share of real images that look more edited than the sample around the edit, to a "
            "network that saw neither; low where an edit shows.",
            nullable=True,
            at_least=0,
            at_most=1,
        ),
        Column("image", IMAGE, "The sample as PNG."),
        Column("masks", pa.list_(SEGMENT_MASK), "Segments of the sample (COCO RLE)."),
        *ORIGIN_COLUMNS,
        Column("code_fingerprint", pa.string(), "Fingerprint of the code that made the sample."),
        Column("width", pa.int32(), "Width in pixels.", at_least=1),
        Column("height", pa.int32(), "Height in pixels.", at_least=1),
    ),
    version=(2, 3),
)
