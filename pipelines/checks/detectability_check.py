"""Whether edit marks encode the label, which a classifier could learn instead.

Knows nothing of Dagster.
"""

from heml.storage.store import Store
from pipelines.checks.limits import OverLimit

#: Accuracy above chance, with 95% confidence, that is over the limit.
LIMIT = 0.02
#: With fewer recombined rows nothing is measured.
FEWEST = 30
#: The label's accuracy among images of one attribute value, where attributes are given.
WITHIN = "label_accuracy_within_attributes"


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
        If the score predicts the label above chance. It warns: the weights have done what they can,
        and whether the dataset helps all the same, the effect says.
    """
    summary = store.summary("rebalanced_dataset")
    if summary["recombined"] < FEWEST:
        return {"recombined": summary["recombined"]}
    # Needs torch, which has no place where definitions load.
    from heml.audit.detectability_stage import dataset_detectability

    counts = dataset_detectability(store)
    within = counts.get(f"{WITHIN}_low", 0.0) > counts["label_accuracy_low"]
    name = WITHIN if within else "label_accuracy"
    value, low, high = counts[name], counts[f"{name}_low"], counts[f"{name}_high"]
    above = low - counts["chance"]
    if above > LIMIT:
        raise OverLimit(
            f"edit marks encode {summary['label_column']}: the detector's score alone predicts it"
            f"{' within attribute values' if within else ''} with accuracy {value:.0%} "
            f"({low:.0%} to {high:.0%}), chance is {counts['chance']:.0%}: look at the samples "
            "and at gate_seam in recombined_samples, "
            "raise rebalance.within_group, or use other operators",
            False,
            counts,
        )
    return counts
