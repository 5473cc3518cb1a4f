"""`debias_effect`: one row per arm and seed."""

import pyarrow as pa

from data_contracts.contract import Column, Contract
from data_contracts.vocabulary import Vocabulary

#: Provided by the registry of arms.
ARM_NAMES = Vocabulary("effect arms")

DEBIAS_EFFECT = Contract(
    name="debias_effect",
    description="Accuracy of a small network on the held-out test split after training on the "
    "data as it is, with group-balanced sampling, and on the rebalanced dataset; with other "
    "methods where the recipe asks for them. Empty if there is no test split.",
    columns=(
        Column("arm", pa.string(), "Training arm.", among=ARM_NAMES),
        Column("seed", pa.int64(), "Seed of initial weights and batches.", at_least=0),
        Column(
            "worst_group_accuracy",
            pa.float64(),
            "Lowest accuracy over the test groups.",
            at_least=0,
            at_most=1,
        ),
        Column(
            "average_accuracy",
            pa.float64(),
            "Mean of the accuracies over the test groups.",
            at_least=0,
            at_most=1,
        ),
        Column("worst_group", pa.string(), "The group with the lowest accuracy."),
        Column("n_worst_group", pa.int64(), "Test records in that group.", at_least=1),
        Column("n_test", pa.int64(), "Test records.", at_least=1),
        Column("n_train", pa.int64(), "Training records of the arm.", at_least=1),
        *(
            Column(
                f"{measure}_{end}",
                pa.float64(),
                f"{end.capitalize()} end of the 95% interval of the arm's mean {words} over seeds "
                "and test images; the same in all rows of an arm.",
                at_least=0,
                at_most=1,
            )
            for measure, words in (("worst_group", "worst-group accuracy"), ("average", "average"))
            for end in ("low", "high")
        ),
        Column(
            "note",
            pa.string(),
            "What the test split cannot judge, such as a group without images; or empty.",
        ),
    ),
    version=(2, 0),
    unique_together=("arm", "seed"),
)
