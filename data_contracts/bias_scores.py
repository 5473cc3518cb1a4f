"""`bias_scores`: one row per node and attribute."""

import pyarrow as pa

from data_contracts.common import number, proportion
from data_contracts.contract import Column, Contract

BIAS_SCORES = Contract(
    name="bias_scores",
    description="How well each tree node encodes an attribute and how much it relies on it. "
    "Measured out of fold on the train split, among records whose attribute value is known. "
    "Intervals are 95%: Wilson for accuracies, percentile bootstrap for the attribute AUC, "
    "Jeffreys draws for the gap, and both together for the score. q-values are "
    "Benjamini-Hochberg's over all rows of the measure.",
    columns=(
        Column("node", pa.string(), "Tree node."),
        Column("kind", pa.string(), "leaf, branch or root.", among=("leaf", "branch", "root")),
        Column("attribute", pa.string(), "Attribute, or several taken together (a × b)."),
        Column(
            "rank", pa.int32(), "1 for the highest score of its kind and attribute.", at_least=1
        ),
        Column("n", pa.int64(), "Train records judged.", at_least=0),
        Column("n_conflicting", pa.int64(), "Of these, conflicting ones.", at_least=0),
        Column("present", pa.float64(), "Share of records that have the node.", at_least=0),
        proportion(
            "score", "Bias score: geometric mean of 2 × attribute AUC - 1 and accuracy gap."
        ),
        proportion("score_low", "Lower end of the score's interval."),
        proportion("score_high", "Upper end of the score's interval."),
        proportion(
            "attribute_auc",
            "AUC of predicting the attribute from the embedding within a label; macro one-vs-rest "
            "where the attribute has more than two values.",
        ),
        proportion("attribute_auc_low", "Lower end of its interval."),
        proportion("attribute_auc_high", "Upper end of its interval."),
        proportion("attribute_auc_p", "Its permutation p-value, one-sided."),
        proportion("attribute_auc_q", "The same after Benjamini-Hochberg over all rows."),
        proportion("accuracy_aligned", "kNN label accuracy on aligned records."),
        proportion("accuracy_aligned_low", "Lower end of its Wilson interval."),
        proportion("accuracy_aligned_high", "Upper end of its Wilson interval."),
        proportion("accuracy_conflicting", "kNN label accuracy on conflicting records."),
        proportion("accuracy_conflicting_low", "Lower end of its Wilson interval."),
        proportion("accuracy_conflicting_high", "Upper end of its Wilson interval."),
        Column("attributes", pa.list_(pa.string()), "The columns that the attribute consists of."),
        Column("n_missing", pa.int64(), "Train records without an attribute value.", at_least=0),
        number(
            "accuracy_gap", "Accuracy lost from aligned to conflicting records of a label.", -1, 1
        ),
        number("accuracy_gap_low", "Lower end of the gap's interval.", -1, 1),
        number("accuracy_gap_high", "Upper end of the gap's interval.", -1, 1),
        proportion("accuracy_gap_p", "Permutation p-value of the gap, one-sided."),
        proportion("accuracy_gap_q", "The same after Benjamini-Hochberg over all rows."),
        proportion(
            "score_p",
            "The largest p-value of attribute AUC, gap and the attribute's association with the "
            "label: a bias needs all three.",
        ),
        proportion("score_q", "The same after Benjamini-Hochberg over all rows."),
        Column(
            "flagged",
            pa.bool_(),
            "Biased beyond chance: score_q at most 0.05, attribute_auc_low above 0.5, "
            "score_low above 0.",
        ),
        Column("note", pa.string(), "What cannot be measured and why; empty if everything can."),
    ),
    version=(1, 1),
    unique_together=("node", "attribute"),
)
