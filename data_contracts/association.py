"""`association`: one row per attribute; `bias_measures`: one row per measure."""

import pyarrow as pa

from data_contracts.common import number, proportion
from data_contracts.contract import Column, Contract
from data_contracts.vocabulary import Vocabulary

#: Provided by the registry of measures.
MEASURE_NAMES = Vocabulary("bias measures")

ASSOCIATION = Contract(
    name="association",
    description="Association of the label with each attribute, and with several together, "
    "on the train split, among records whose attribute value is known.",
    columns=(
        Column("attribute", pa.string(), "Attribute, or several taken together (a × b)."),
        Column("n", pa.int64(), "Train records.", at_least=0),
        proportion("cramers_v", "Bias-corrected Cramér's V (Bergsma 2013)."),
        proportion("cramers_v_low", "Lower end of its 95% interval, from inverted tests."),
        proportion("cramers_v_high", "Upper end of its interval."),
        proportion("p_value", "Chi-squared test of independence."),
        Column("attributes", pa.list_(pa.string()), "The columns that the attribute consists of."),
        proportion("permutation_p", "Permutation test of independence."),
        proportion("permutation_q", "The same after Benjamini-Hochberg over all rows."),
        Column("n_missing", pa.int64(), "Train records without an attribute value.", at_least=0),
        Column("note", pa.string(), "What cannot be measured and why; empty if everything can."),
    ),
    version=(2, 0),
)

BIAS_MEASURES = Contract(
    name="bias_measures",
    description="Every measure of coverage and association on the train split, among records whose "
    "attribute value is known, with 95% intervals: from inverted tests for measures of a whole "
    "attribute and for nPMI, Wilson's for class imbalance, Newcombe's for differences in "
    "proportions. p-values come from shuffling the attribute among records, or from drawing "
    "equal shares where those are the target; q-values are "
    "Benjamini-Hochberg's over all rows of a measure.",
    columns=(
        Column(
            "measure",
            pa.string(),
            "Name of the measure.",
            among=MEASURE_NAMES,
        ),
        Column("attribute", pa.string(), "Attribute, or several taken together (a × b)."),
        Column("attributes", pa.list_(pa.string()), "The columns that the attribute consists of."),
        Column("label_value", pa.string(), "Label value of a group's measure.", nullable=True),
        Column(
            "attribute_value",
            pa.string(),
            "Attribute value of its or a group's measure.",
            nullable=True,
        ),
        Column("n", pa.int64(), "Train records.", at_least=0),
        number("value", "The measure; missing where `note` says why."),
        number("low", "Lower end of its interval."),
        number("high", "Upper end of its interval."),
        proportion("p", "p-value; missing where the measure is no test."),
        proportion("q", "The same after Benjamini-Hochberg over all rows of the measure."),
        Column("note", pa.string(), "What cannot be measured and why; empty if everything can."),
    ),
    version=(2, 0),
)
