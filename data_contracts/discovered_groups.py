"""`discovered_groups`: attributes found in the images where no column gives one."""

import pyarrow as pa

from data_contracts.common import number, proportion
from data_contracts.contract import Column, Contract

#: What of a leaf its attribute is.
ASPECTS = ("guess", "color", "presence")

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
            "`as usual for` and the label that the leaf alone looks like; or `like` and the image "
            "that is most typical of a cluster of colors; or present or absent. Missing where the "
            "image does not show the leaf.",
            nullable=True,
        ),
    ),
    unique_together=("image_id", "attribute"),
)

DISCOVERED_NODES = Contract(
    name="discovered_nodes",
    description="What the discovered attribute of each leaf is, and whether it misleads the models "
    "of the label. No record is judged by a model that saw it; q-values count all candidates of "
    "all leaves. Groups are combinations of label and value; intervals of error rates are 95%, "
    "Wilson's.",
    columns=(
        Column("attribute", pa.string(), "`discovered.` and the leaf's name.", unique=True),
        Column("node", pa.string(), "Leaf.", unique=True),
        Column("aspect", pa.string(), "What the values differ in.", among=ASPECTS),
        Column("chosen", pa.bool_(), "Whether it serves as the dataset's attribute."),
        Column(
            "misleading",
            pa.bool_(),
            "Whether there is enough evidence that it misleads: not for any leaf of a dataset "
            "without a bias.",
        ),
        Column("rank", pa.int32(), "1 for the attribute with the most evidence.", at_least=1),
        Column("n", pa.int64(), "Train records with a value that it is measured on.", at_least=0),
        Column("n_missing", pa.int64(), "Train records without one.", at_least=0),
        Column(
            "n_conflicting",
            pa.int64(),
            "Records whose value usually comes with other labels; 0 if too few to judge.",
            at_least=0,
        ),
        number(
            "silhouette",
            "Mean silhouette of held-out records, -1 to 1; missing for what is no cluster.",
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
        Column(
            "conflicting",
            pa.list_(pa.list_(pa.string())),
            "Train images of each that conflict with it, most typical of the value first.",
        ),
        proportion("evidence", "Product of cramers_v, misled (0 if below) and others."),
        proportion("cramers_v", "Bias-corrected Cramér's V of label and attribute."),
        number(
            "misled",
            "How much likelier the label is guessed wrongly on conflicting records than on aligned "
            "ones of the same label: mean of the following three.",
            -1,
            1,
        ),
        number("misled_own", "The same, by the leaf alone.", -1, 1),
        number("misled_joined", "By all leaves together, times their skill.", -1, 1),
        number("misled_whole", "By the whole image's metric, times its skill.", -1, 1),
        proportion(
            "others",
            "Accuracy of the other leaves over all groups, from 0 for chance to 1: whether the "
            "rest of the image knows the label of conflicting records.",
        ),
        proportion(
            "q",
            "Permutation tests that it goes with the label, misleads, and others know better; the "
            "largest p-value, after Benjamini-Hochberg.",
        ),
        proportion(
            "first_without_fold",
            "Share of the cross-fitting folds without which the leaf has the most evidence.",
        ),
        Column("group_label", pa.list_(pa.string()), "Label of every group."),
        Column("group_value", pa.list_(pa.string()), "Its value."),
        Column("group_n", pa.list_(pa.int64()), "Its records."),
        *(
            Column(
                f"group_{end}_{model}",
                pa.list_(pa.float64()),
                f"{words} of {of} in it.",
            )
            for model, of in (("joined", "all leaves together"), ("whole", "the whole image"))
            for end, words in (
                ("error", "Error rate"),
                ("error_low", "Lower end of the error rate's interval"),
                ("error_high", "Upper end of the error rate's interval"),
            )
        ),
    ),
    version=(3, 0),
)
