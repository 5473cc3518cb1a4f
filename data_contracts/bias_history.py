"""`bias_history`: the bias scores of every measurement that a store has seen."""

import pyarrow as pa

from data_contracts.common import proportion
from data_contracts.contract import Column, Contract

BIAS_HISTORY = Contract(
    name="bias_history",
    description="Bias score per measurement, node and attribute, oldest first. A run that "
    "finds nothing changed measures nothing and adds no row.",
    columns=(
        Column("measurement", pa.int64(), "1 for the first, counted up.", at_least=1),
        Column("fingerprint", pa.string(), "Of everything that the measurement rests on."),
        Column("images", pa.string(), "Hash of all accepted image records."),
        Column("label", pa.string(), "Column of the label."),
        Column("node", pa.string(), "Tree node."),
        Column("kind", pa.string(), "leaf, branch or root.", among=("leaf", "branch", "root")),
        Column("attribute", pa.string(), "Attribute, or several taken together (a × b)."),
        Column("n", pa.int64(), "Train records judged.", at_least=0),
        Column("n_conflicting", pa.int64(), "Of these, conflicting ones.", at_least=0),
        proportion("score", "Bias score, 0 to 1."),
        proportion("score_low", "Lower end of its 95% interval."),
        proportion("score_high", "Upper end of its 95% interval."),
    ),
    unique_together=("measurement", "node", "attribute"),
)
