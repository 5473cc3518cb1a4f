"""The facts of a dataset in words that card and Croissant file share: plain text, no markup."""

from __future__ import annotations

from collections.abc import Iterator

from heml.dataset.dataset_facts import FEW, DatasetFacts
from heml.parts.wording import decimal, percent, plural


def biases(facts: DatasetFacts) -> Iterator[str]:
    """Association of label and attributes, and the leaf that encodes each, with intervals."""
    for row in facts.association:
        yield (
            f"In the {row['n']} real train images, {facts.label} and {row['attribute']} are "
            f"associated with Cramér's V {decimal(row['cramers_v'])} "
            f"(95% interval {decimal(row['cramers_v_low'])} to {decimal(row['cramers_v_high'])}; "
            "0: independent, 1: one determines the other)."
        )
    for row in facts.leading:
        yield (
            f"{row['node']} is the segment that encodes {row['attribute']} most: bias score "
            f"{decimal(row['score'])} (95% interval {decimal(row['score_low'])} to "
            f"{decimal(row['score_high'])}; 0: no bias, 1: the largest; {row['n']} train images, "
            f"{row['n_conflicting']} of them conflicting: without the attribute value that is "
            f"common for their label). Its accuracy for {facts.label} is "
            f"{percent(row['accuracy_aligned'])} on aligned and "
            f"{percent(row['accuracy_conflicting'])} on conflicting images"
            + ("." if row["flagged"] else ", a gap that chance explains.")
        )


def weighing(facts: DatasetFacts) -> str:
    """What the sample weights do."""
    shares = facts.shares
    # Weights are written with six decimals.
    if max(shares.values(), default=0) - min(shares.values(), default=0) < 1e-4:
        return (
            "every group (label and attributes together) of the train split then counts the same."
        )
    words = ", ".join(f"{group} {percent(share)}" for group, share in shares.items())
    return (
        "the groups (label and attributes together) of the train split then count as "
        f"aimed: {words}."
    )


def manipulation(facts: DatasetFacts) -> Iterator[str]:
    """What was done to the data."""
    summary, samples = facts.summary, facts.samples
    tried = ", ".join(f"{n} by {kind}" for kind, n in samples["accepted_by_operator"].items())
    yield (
        f"{summary['real']} real rows keep the input's own image bytes. "
        f"{summary['recombined']} train rows are recombined: segments of one real train image put "
        "into another, the host (columns host_id, donor_ids, nodes, operator, seed)."
    )
    yield (
        f"{samples['tried']} edits were tried and {samples['accepted']} that passed all gates "
        "are in the dataset" + (f": {tried}." if tried else ".")
    )
    yield f"The column weight is a sample weight: with it {weighing(facts)}"
    for model in summary.get("generators", ()):
        revision = f", revision {model['revision']}" if model["revision"] else ""
        yield (
            f"Of {model['rows']} of them a part was drawn by {model['name']}{revision} (license: "
            f"{model['licence'] or 'not stated'}); the columns origins and generator say where."
        )
    if summary["surplus"]:
        yield (
            f"{summary['surplus']} real train images were left out because their group had more "
            "than others."
        )
    if summary["revoked"]:
        yield (
            f"{plural(summary['revoked'], 'image was', 'images were')} revoked: not in this "
            f"version ({summary['version']}), nor is any image that was recombined with a revoked "
            "one as host or donor. Metrics that chose the edits may have been trained on revoked "
            "images until the recipe is run again; they are no part of this dataset."
        )
    yield "Validation and test rows are the input's own; no recombined row descends from them."


def effect(facts: DatasetFacts) -> Iterator[str]:
    """What training on the dataset changed, with intervals."""
    before, after = facts.arm("erm"), facts.arm("rebalanced")
    if before is None or after is None:
        return
    yield (
        f"On {after.n_test} real test images a small network reached a worst-group accuracy of "
        f"{percent(after.worst.mean)} (95% interval {percent(after.worst.low)} to "
        f"{percent(after.worst.high)}, {after.n_worst} images) when trained on this "
        f"dataset, against {percent(before.worst.mean)} ({percent(before.worst.low)} to "
        f"{percent(before.worst.high)}) on the data as it came; the average of all groups "
        f"was {percent(after.average.mean)} against {percent(before.average.mean)}."
    )
    if after.worst.overlaps(before.worst):
        yield "The two intervals overlap: the gain may be chance."
    if after.note:
        yield f"What the test split cannot judge: {after.note}."


def limitations(facts: DatasetFacts) -> Iterator[str]:
    """What the dataset is not good for."""
    yield (
        "Recombined images are cut and blended and can show seams. They are for training a model "
        f"on {facts.label}, not for measuring one, and are no pictures of persons or places."
    )
    yield (
        f"Only {', '.join((facts.label, *facts.attributes))} and the split are known of a "
        "recombined "
        "image: the input's other columns are empty there. Attributes that were not named were not "
        "balanced."
    )
    for group in facts.short_groups:
        row = facts.groups[group]
        yield (
            f"The group {group} has {row['real']} real train images (fewer than {FEW}): it shows "
            "little of what such images look like, however many are recombined."
        )
    for group, note in facts.notes.items():
        yield f"The group {group}: {note}."
    missing = int(facts.samples.get("missing", 0))
    if missing:
        yield f"{missing} of {facts.samples['wanted']} wanted samples found no edit that passes."
    if not facts.arms:
        yield "What training on this dataset changes has not been measured."
    if "test" not in facts.rows_by_split:
        yield "There is no test split, so nothing here was judged on held-out images."


def annotation(facts: DatasetFacts) -> str:
    """Where masks come from."""
    if not facts.segmenters:
        return "No image has segments."
    made = "; ".join(
        ("annotated with the input" if name == "annotated" else name)
        + (f" (licence: {licence})" if licence else "")
        for name, licence in facts.segmenters.items()
    )
    return f"Semantic masks (column masks, COCO run-length encoding): {made}."
