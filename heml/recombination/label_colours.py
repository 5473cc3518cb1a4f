"""Whether the label is a matter of a segment's colours: then they must stay the host's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heml.recombination.colour_transfer import measure_colours
from heml.recombination.pictures import PictureReader
from heml.taxonomy import Taxonomy

#: A leaf tells the label by its colours if they alone tell this share of what all of it tells.
BY_COLOUR = 0.5
#: Train images that are looked at, and records of each label with the leaf that are needed.
IMAGES, LEAST_RECORDS = 1000, 10
FOLDS = 5


def colour_evidence(
    pictures: PictureReader,
    image_ids: Sequence[str],
    labels: np.ndarray,
    leaf: str,
    taxonomy: Taxonomy,
) -> float:
    """How far mean and deviation of a leaf's colours tell the label beyond guessing.

    Parameters
    ----------
    pictures : PictureReader
    image_ids : sequence of str
    labels : array of str (N,)
    leaf : str
    taxonomy : Taxonomy

    Returns
    -------
    float
        Balanced accuracy of a logistic regression in LAB, cross-validated, less that of guessing;
        0 where fewer than two labels have the leaf.
    """
    # Evenly spread over the records: the same ones every time.
    count = min(IMAGES, len(image_ids))
    rows = np.unique(np.linspace(0, len(image_ids) - 1, count).round().astype(int))
    features, own = [], []
    for row in rows:
        measured = measure_colours(pictures.read([image_ids[row]])[0], taxonomy).get(leaf)
        if measured is not None:
            features.append(np.concatenate(measured[1:]))
            own.append(labels[row])
    names, counts = np.unique(np.array(own, str), return_counts=True)
    usual = names[counts >= LEAST_RECORDS]
    if len(usual) < 2:
        return 0.0
    chosen = np.isin(own, usual)
    x, y = np.stack(features)[chosen], np.array(own)[chosen]
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    accuracy = balanced_accuracy_score(y, cross_val_predict(model, x, y, cv=folds))
    return max(float(accuracy) - 1 / len(usual), 0.0)


def told_by_colour(
    pictures: PictureReader,
    image_ids: Sequence[str],
    labels: np.ndarray,
    evidence: dict[str, float],
    taxonomy: Taxonomy,
) -> tuple[str, ...]:
    """Leaves whose colours are much of what tells the label.

    Parameters
    ----------
    evidence : dict of str to float
        Leaf → how far all of it tells the label beyond guessing.
    """
    return tuple(
        leaf
        for leaf, whole in evidence.items()
        if colour_evidence(pictures, image_ids, labels, leaf, taxonomy) >= BY_COLOUR * whole
    )
