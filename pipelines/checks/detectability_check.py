"""Whether edit marks encode the label, which a classifier could learn instead. Knows nothing of
Dagster."""

from heml.storage.store import Store
from pipelines.checks.limits import OverLimit

#: Accuracy above chance, with 95% confidence, that is over the limit, and that stops what follows.
LIMIT, SEVERE = 0.02, 0.1
#: Rows read, side in pixels, and steps of each fold's detector: seconds.
ROWS, SIZE, STEPS = 1200, 32, 60
#: With fewer recombined rows nothing is measured.
FEWEST = 30


def check_edit_detectability(store: Store) -> dict[str, float]:
    """Trains a detector of recombined rows, cross-fitted, and predicts the label from its score.

    Returns
    -------
    dict
        `detector_auc`, `label_accuracy`, `label_accuracy_within_attributes` and `chance`, with
        intervals; `recombined` rows alone where they are too few.

    Raises
    ------
    OverLimit
        If the score predicts the label above chance.
    """
    summary = store.summary("rebalanced_dataset")
    if summary["recombined"] < FEWEST:
        return {"recombined": summary["recombined"]}
    # Need torch, which has no place where definitions load.
    from heml.audit.detector_images import read_train_images
    from heml.audit.edit_detectability import measure_edit_detectability
    from heml.compute.threads import worker_pool

    label = summary["label_column"]
    rows = read_train_images(
        store.rebalanced_dataset, label, summary["attribute_columns"], SIZE, ROWS
    )
    # One thread: what is so small loses more to several than it gains.
    with worker_pool():
        found = measure_edit_detectability(*rows, steps=STEPS)
    counts = {name: float(value) for name, value in found.describe().items()}
    strongest = found.strongest
    above = strongest.low - found.chance
    if above > LIMIT:
        raise OverLimit(
            f"edit marks encode {label}: the detector's score alone predicts it"
            f"{'' if strongest is found.label else ' within attribute values'} with accuracy "
            f"{strongest.value:.0%} ({strongest.low:.0%} to {strongest.high:.0%}), chance is "
            f"{found.chance:.0%}: look at the samples and at gate_seam in recombined_samples, "
            "raise rebalance.within_group, or use other operators",
            above > SEVERE,
            counts,
        )
    return counts
