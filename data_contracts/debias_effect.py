"""`debias_effect`: one row per arm and seed."""

import pyarrow as pa

from data_contracts.contract import Column, Contract

ARMS = ("as_is", "group_balanced", "rebalanced")

DEBIAS_EFFECT = Contract(
    name="debias_effect",
    description="Accuracy of a small network on the held-out test split after training on the "
    "data as it is, with group-balanced sampling, and on the rebalanced dataset.",
    columns=(
        Column("arm", pa.string(), "Training arm.", among=ARMS),
        Column("seed", pa.int64(), "Seed of initial weights and batches.", at_least=0),
        Column(
            "worst_group_accuracy",
            pa.float64(),
            "Lowest accuracy over the test cells.",
            at_least=0,
            at_most=1,
        ),
        Column(
            "average_accuracy",
            pa.float64(),
            "Mean of the accuracies over the test cells.",
            at_least=0,
            at_most=1,
        ),
        Column("worst_group", pa.string(), "The cell with the lowest accuracy."),
        Column("n_worst_group", pa.int64(), "Test records in that cell.", at_least=1),
        Column("n_test", pa.int64(), "Test records.", at_least=1),
        Column("n_train", pa.int64(), "Training records of the arm.", at_least=1),
    ),
    unique_together=("arm", "seed"),
)
