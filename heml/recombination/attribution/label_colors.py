"""Whether a segment's colors encode the label: then they must stay the host's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heml.recombination.compositing.color_statistics import measure_colors
from heml.recombination.imaging.image_reader import SegmentedImageReader
from heml.taxonomy import Taxonomy

#: A leaf's colors encode the label if they alone reach this share of the leaf's accuracy above
#: chance.
COLOR_SHARE = 0.5
#: Train images that are read, and records of each label that a leaf needs.
IMAGES, LEAST_RECORDS = 1000, 10
FOLDS = 5


def colors_that_encode_label(
    reader: SegmentedImageReader,
    image_ids: Sequence[str],
    labels: np.ndarray,
    evidence: Mapping[str, float],
    taxonomy: Taxonomy,
) -> tuple[str, ...]:
    """Leaves whose colors alone reach much of the leaf's accuracy for the label.

    Parameters
    ----------
    reader : SegmentedImageReader
    image_ids : sequence of str
        Of the train split.
    labels : array of str (N,)
    evidence : mapping of str to float
        Leaf → its accuracy for the label, less that of chance.
    taxonomy : Taxonomy
    """
    # Evenly spread over the records: the same ones every time.
    count = min(IMAGES, len(image_ids)) if evidence else 0
    rows = np.unique(np.linspace(0, len(image_ids) - 1, count).round().astype(int))
    colors: dict[str, list[np.ndarray]] = {leaf: [] for leaf in evidence}
    having: dict[str, list[int]] = {leaf: [] for leaf in evidence}
    for row in rows:
        measured = measure_colors(reader.read([image_ids[row]])[0], taxonomy)
        for leaf in evidence:
            if leaf in measured:
                colors[leaf].append(np.concatenate(measured[leaf][1:]))
                having[leaf].append(int(row))
    return tuple(
        leaf
        for leaf, whole in evidence.items()
        if _evidence(colors[leaf], labels[having[leaf]]) >= COLOR_SHARE * whole
    )


def _evidence(colors: Sequence[np.ndarray], labels: np.ndarray) -> float:
    """Balanced accuracy above chance of the label from mean and deviation of colors,
    cross-validated; 0 where fewer than two labels have enough records."""
    names, counts = np.unique(labels, return_counts=True)
    usual = names[counts >= LEAST_RECORDS]
    if len(usual) < 2:
        return 0.0
    chosen = np.isin(labels, usual)
    features, own = np.stack(colors)[chosen], labels[chosen]
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, features, own, cv=folds)
    return max(float(balanced_accuracy_score(own, predicted)) - 1 / len(usual), 0.0)
