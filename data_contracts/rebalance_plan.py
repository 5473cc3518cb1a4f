"""`rebalance_plan`: one row per edit that will be tried."""

import pyarrow as pa

from data_contracts.contract import Column, Contract

OPERATORS = ("transplant", "recolour", "background", "insert", "remove")
#: group_onto_host: the host keeps its label and gets the group-carrying nodes of the donor.
#: label_onto_donor: the host keeps its group and gets the label-carrying nodes of the donor.
#: control: host and donor are of the same cell, so an edit mark tells nothing of the cell.
#: self: the donor is the host: shows what the operator itself leaves behind, never in the dataset.
DIRECTIONS = ("group_onto_host", "label_onto_donor", "control", "self")
#: Why a cell does not become what it should, in `planned_cells`.
REASONS = {
    "": "the target is reached",
    "budget": "the budget is used up",
    "above_target": "more real records than aimed at; none is removed",
    "no_host": "no host",
    "no_donor": "no donor",
    "no_carrier": "no node carries what would have to be moved",
    "no_operator": "no allowed operator can do it",
    "donor_share": "too few images for the share that each may give",
    "no_controls": "too few records for controls",
}

EDIT_COLUMNS = (
    Column("edit_id", pa.string(), "Unique id of the edit.", unique=True),
    Column("label", pa.string(), "Label of the sample to be made."),
    Column("groups", pa.list_(pa.string()), "Its group values, in the recipe's order."),
    Column("direction", pa.string(), "What is moved.", among=DIRECTIONS),
    Column("operator", pa.string(), "How it is moved.", among=OPERATORS),
    Column("nodes", pa.list_(pa.string()), "Tree nodes that are exchanged."),
    Column(
        "recoloured_nodes",
        pa.list_(pa.string()),
        "Leaves that stay the host's, in the donor's colours.",
    ),
    Column("host_id", pa.string(), "Image that the sample starts from (train split)."),
    Column("donor_id", pa.string(), "Image that the nodes are taken from (train split)."),
    Column("seed", pa.int64(), "Seed of every random choice in the edit.", at_least=0),
)

REBALANCE_PLAN = Contract(
    name="rebalance_plan",
    description="Edits to try, in order. More are planned than needed: gates refuse some.",
    columns=EDIT_COLUMNS,
    version=(1, 2),
)

PLANNED_CELLS = Contract(
    name="planned_cells",
    description="What the plan does to each cell.",
    columns=(
        Column("cell", pa.string(), "The cell in words."),
        Column("label", pa.string(), "Label value."),
        Column("groups", pa.list_(pa.string()), "Group values, in the recipe's order."),
        Column("n_real", pa.int64(), "Real train records.", at_least=0),
        Column("n_target", pa.int64(), "Records aimed at.", at_least=0),
        Column("n_wanted", pa.int64(), "Recombined samples wanted.", at_least=0),
        Column("n_planned", pa.int64(), "Edits planned for them, with spares.", at_least=0),
        Column("note", pa.string(), "Why the target cannot be reached, or empty."),
        Column("n_missing", pa.int64(), "Records missing to the target.", at_least=0),
        Column(
            "n_fill",
            pa.int64(),
            "Of the wanted, those that bring label and groups together, as far as budget, "
            "hosts and donors go.",
            at_least=0,
        ),
        Column("n_control", pa.int64(), "Of the wanted, controls within the cell.", at_least=0),
        Column(
            "n_reached",
            pa.int64(),
            "Records that the cell has if the gates accept enough.",
            at_least=0,
        ),
        Column("reason", pa.string(), "The note's cause in one word.", among=tuple(REASONS)),
    ),
    version=(1, 1),
)
