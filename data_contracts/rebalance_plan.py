"""`rebalance_plan`: one row per edit that will be tried."""

import pyarrow as pa

from data_contracts.contract import Column, Contract
from data_contracts.vocabulary import Vocabulary

#: Provided by the registry of operators.
OPERATOR_NAMES = Vocabulary("operators")
#: swap_attribute: the host keeps its label and gets the donor's nodes that encode the attribute.
#: swap_label: the host keeps its attribute and gets the donor's nodes that encode the label.
#: within_group: host and donor are of one group, so that edit marks encode no group.
#: identity: the donor is the host: shows the marks of the operator itself, never in the dataset.
DIRECTIONS = ("swap_attribute", "swap_label", "within_group", "identity")
#: Why a group does not become what it should, in `planned_groups`.
REASONS = {
    "": "the target is reached",
    "budget": "the budget is used up",
    "above_target": "more real records than the target; none is removed",
    "no_host": "no host",
    "no_donor": "no donor",
    "no_node": "no node encodes what would have to be moved",
    "no_operator": "no allowed operator can do it",
    "donor_share": "too few images for the share that each may give",
    "no_within_group": "too few records for within-group samples",
}

EDIT_COLUMNS = (
    Column("edit_id", pa.string(), "Unique id of the edit.", unique=True),
    Column("label", pa.string(), "Label of the sample."),
    Column("attributes", pa.list_(pa.string()), "Its attribute values, in the recipe's order."),
    Column("direction", pa.string(), "What is moved.", among=DIRECTIONS),
    Column("operator", pa.string(), "How it is moved.", among=OPERATOR_NAMES),
    Column("nodes", pa.list_(pa.string()), "Tree nodes that are exchanged."),
    Column(
        "recolored_nodes",
        pa.list_(pa.string()),
        "Leaves that stay the host's, in the donor's colors or, where colors encode the label, "
        "changed by what the attribute's value changes in them.",
    ),
    Column("host_id", pa.string(), "Image that the sample starts from (train split)."),
    Column("donor_id", pa.string(), "Image that the nodes are taken from (train split)."),
    Column("seed", pa.int64(), "Seed of every random choice in the edit.", at_least=0),
)

REBALANCE_PLAN = Contract(
    name="rebalance_plan",
    description="Edits to try, in order. More are planned than needed: gates refuse some.",
    columns=EDIT_COLUMNS,
    version=(2, 0),
)

PLANNED_GROUPS = Contract(
    name="planned_groups",
    description="What the plan does to each group.",
    columns=(
        Column("group", pa.string(), "The group in words."),
        Column("label", pa.string(), "Label value."),
        Column("attributes", pa.list_(pa.string()), "Attribute values, in the recipe's order."),
        Column("n_real", pa.int64(), "Real train records.", at_least=0),
        Column("n_target", pa.int64(), "Target number of records.", at_least=0),
        Column("n_wanted", pa.int64(), "Recombined samples wanted.", at_least=0),
        Column("n_planned", pa.int64(), "Edits planned for them, with spares.", at_least=0),
        Column("note", pa.string(), "Why the target cannot be reached, or empty."),
        Column("n_missing", pa.int64(), "Records missing to the target.", at_least=0),
        Column(
            "n_balancing",
            pa.int64(),
            "Of the wanted, those that bring label and attributes together, as far as budget, "
            "hosts and donors go.",
            at_least=0,
        ),
        Column(
            "n_within_group",
            pa.int64(),
            "Of the wanted, those from the group's own records.",
            at_least=0,
        ),
        Column(
            "n_reached",
            pa.int64(),
            "Records that the group has if the gates accept enough.",
            at_least=0,
        ),
        Column("reason", pa.string(), "The note's cause in one word.", among=tuple(REASONS)),
    ),
    version=(2, 0),
)
