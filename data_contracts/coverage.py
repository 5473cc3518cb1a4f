"""`coverage`: one row per group."""

import pyarrow as pa

from data_contracts.common import number, proportion
from data_contracts.contract import Column, Contract

COVERAGE = Contract(
    name="coverage",
    description="Train records per group (label × all attributes), without those that miss a "
    "attribute value. Intervals are 95%: Wilson for shares, percentile bootstrap for ratios.",
    columns=(
        Column("group", pa.string(), "The group in words: label and attribute values."),
        Column("label", pa.string(), "Label value."),
        Column("attributes", pa.list_(pa.string()), "Attribute values, in the recipe's order."),
        Column("n", pa.int64(), "Train records in the group.", at_least=0),
        Column("share", pa.float64(), "Share of the train split.", at_least=0, at_most=1),
        number(
            "representation_ratio",
            "Records over the records expected if label and attributes were independent; missing "
            "where none are expected.",
            at_least=0,
        ),
        Column("aligned", pa.bool_(), "Whether the group has more records than expected."),
        proportion("share_low", "Lower end of the share's interval."),
        proportion("share_high", "Upper end of the share's interval."),
        number("representation_ratio_low", "Lower end of the ratio's interval.", at_least=0),
        number("representation_ratio_high", "Upper end of the ratio's interval.", at_least=0),
    ),
    version=(1, 1),
)
