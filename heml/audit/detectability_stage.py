"""The stage behind the check: a detector of recombined rows, trained once per dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from heml.audit.detector_images import read_train_images
from heml.audit.edit_detectability import measure_edit_detectability
from heml.compute.progress import silent
from heml.compute.threads import worker_pool
from heml.storage.fingerprint import fingerprint
from heml.storage.stage import run_stage
from heml.storage.store import Store

VERSION = 1
#: Rows looked at, side in pixels, and steps of each fold's detector: seconds.
ROWS, SIZE, STEPS = 1200, 32, 60


def dataset_detectability(store: Store) -> dict[str, float]:
    """How detectable recombined rows are, and what that says about the label.

    Measured once per dataset: a later run gets what the first one found.

    Parameters
    ----------
    store : Store
        With the rebalanced dataset finished.

    Returns
    -------
    dict
        As `EditDetectability.describe` names it.
    """

    def compute() -> tuple[dict[str, Any], list[Path]]:
        dataset = store.summary("rebalanced_dataset")
        rows = read_train_images(
            store.rebalanced_dataset,
            dataset["label_column"],
            dataset["attribute_columns"],
            SIZE,
            ROWS,
        )
        # One thread: what is so small loses more to several than it gains.
        with worker_pool():
            found = measure_edit_detectability(*rows, steps=STEPS)
        return {name: float(value) for name, value in found.describe().items()}, []

    key = fingerprint(
        VERSION, ROWS, SIZE, STEPS, store.fingerprint("rebalanced_dataset"), torch.__version__
    )
    return run_stage(store, "edit_detectability", key, compute, silent).summary
