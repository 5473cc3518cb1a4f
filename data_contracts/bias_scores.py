"""`bias_scores`: one row per node and group attribute; `coverage`: one row per cell."""

import pyarrow as pa

from data_contracts.contract import Column, Contract


def _proportion(name: str, description: str) -> Column:
    return Column(name, pa.float64(), description, nullable=True, at_least=0, at_most=1)


BIAS_SCORES = Contract(
    name="bias_scores",
    description="How much each tree node carries a group attribute and is fooled by it. Measured "
    "out of fold on the train split. Intervals are 95%: Wilson for accuracies, percentile "
    "bootstrap for leakage, and for the score bootstrap with Jeffreys draws of the accuracies.",
    columns=(
        Column("node", pa.string(), "Tree node."),
        Column("kind", pa.string(), "leaf, branch or root.", among=("leaf", "branch", "root")),
        Column("group", pa.string(), "Group attribute."),
        Column("rank", pa.int32(), "1 for the highest score of its kind and group.", at_least=1),
        Column("n", pa.int64(), "Train records judged.", at_least=0),
        Column("n_conflicting", pa.int64(), "Of these, conflicting ones.", at_least=0),
        Column("present", pa.float64(), "Share of records that have the node.", at_least=0),
        _proportion("score", "Bias score: geometric mean of carrying and being fooled, 0 to 1."),
        _proportion("score_low", "Lower end of the score's interval."),
        _proportion("score_high", "Upper end of the score's interval."),
        _proportion("leakage", "AUC with which the embedding tells the group within a label."),
        _proportion("leakage_low", "Lower end of the leakage's interval."),
        _proportion("leakage_high", "Upper end of the leakage's interval."),
        _proportion("leakage_p", "Permutation p-value of the leakage, one-sided."),
        _proportion("leakage_q", "The same after Benjamini-Hochberg over all rows."),
        _proportion("accuracy_aligned", "kNN label accuracy on aligned records."),
        _proportion("accuracy_aligned_low", "Lower end of its Wilson interval."),
        _proportion("accuracy_aligned_high", "Upper end of its Wilson interval."),
        _proportion("accuracy_conflicting", "kNN label accuracy on conflicting records."),
        _proportion("accuracy_conflicting_low", "Lower end of its Wilson interval."),
        _proportion("accuracy_conflicting_high", "Upper end of its Wilson interval."),
    ),
    unique_together=("node", "group"),
)

COVERAGE = Contract(
    name="coverage",
    description="Train records per cell (label × all group attributes).",
    columns=(
        Column("cell", pa.string(), "The cell in words: label and group values."),
        Column("label", pa.string(), "Label value."),
        Column("groups", pa.list_(pa.string()), "Group values, in the recipe's order."),
        Column("n", pa.int64(), "Train records in the cell.", at_least=0),
        Column("share", pa.float64(), "Share of the train split.", at_least=0, at_most=1),
        Column(
            "representation_ratio",
            pa.float64(),
            "Records over the records expected if label and groups were independent.",
            nullable=True,
            at_least=0,
        ),
        Column("aligned", pa.bool_(), "Whether the cell has more records than expected."),
    ),
)

ASSOCIATION = Contract(
    name="association",
    description="Association of the label with each group attribute on the train split.",
    columns=(
        Column("group", pa.string(), "Group attribute."),
        Column("n", pa.int64(), "Train records.", at_least=0),
        _proportion("cramers_v", "Bias-corrected Cramér's V (Bergsma 2013)."),
        _proportion("cramers_v_low", "Lower end of its interval."),
        _proportion("cramers_v_high", "Upper end of its interval."),
        _proportion("p_value", "Chi-squared test of independence."),
    ),
)
