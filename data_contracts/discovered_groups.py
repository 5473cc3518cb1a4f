"""`discovered_groups`: attributes found in the images where no column gives one."""

import pyarrow as pa

from data_contracts.common import number, proportion
from data_contracts.contract import Column, Contract

#: What of a leaf its attribute is.
ASPECTS = ("color", "presence")

DISCOVERED_GROUPS = Contract(
    name="discovered_groups",
    description="Value of every image for the discovered attribute of every leaf. Rows follow the "
    "images' order, attribute by attribute.",
    columns=(
        Column("image_id", pa.string(), "Image."),
        Column("attribute", pa.string(), "`discovered.` and the leaf's name."),
        Column(
            "value",
            pa.string(),
            "`like` and the image that is most typical of the cluster, or present or absent; "
            "missing where the image does not show the leaf.",
            nullable=True,
        ),
    ),
    unique_together=("image_id", "attribute"),
)

DISCOVERED_NODES = Contract(
    name="discovered_nodes",
    description="What the discovered attribute of each leaf is, how strongly it is associated with "
    "the label, and the leaf's bias score for it. Attributes are chosen and ranked on one half of "
    "the train records and measured on the other; q-values count all candidates of all leaves. "
    "Intervals are 95%.",
    columns=(
        Column("attribute", pa.string(), "`discovered.` and the leaf's name.", unique=True),
        Column("node", pa.string(), "Leaf.", unique=True),
        Column("aspect", pa.string(), "What the values differ in.", among=ASPECTS),
        Column("chosen", pa.bool_(), "Whether it serves as the dataset's attribute."),
        Column(
            "rank",
            pa.int32(),
            "1 for the attribute that misleads most, on the records that it is chosen on.",
            at_least=1,
        ),
        Column("n", pa.int64(), "Train records with a value that it is measured on.", at_least=0),
        Column(
            "n_missing",
            pa.int64(),
            "Train records without one, among those that it is not chosen on.",
            at_least=0,
        ),
        number(
            "silhouette",
            "Mean silhouette of held-out records, -1 to 1; missing for presence.",
            -1,
            1,
        ),
        Column("values", pa.list_(pa.string()), "Values, most frequent first."),
        Column("counts", pa.list_(pa.int64()), "Train records of each."),
        Column(
            "exemplars",
            pa.list_(pa.list_(pa.string())),
            "Train images of each, most typical first.",
        ),
        proportion("cramers_v", "Bias-corrected Cramér's V of label and attribute."),
        proportion("cramers_v_low", "Lower end of its interval."),
        proportion("cramers_v_high", "Upper end of its interval."),
        proportion(
            "permutation_q",
            "Permutation test of independence on all train records, after Benjamini-Hochberg.",
        ),
        proportion("score", "Bias score of the leaf for its attribute."),
        proportion("score_low", "Lower end of its interval."),
        proportion("score_high", "Upper end of its interval."),
        proportion("score_q", "p-value of the score after Benjamini-Hochberg."),
        proportion("accuracy_aligned", "kNN label accuracy of the leaf on aligned records."),
        proportion("accuracy_conflicting", "The same on conflicting records."),
    ),
    version=(2, 0),
)
