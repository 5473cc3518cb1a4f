"""Whether a segment's colors encode the label: then they must stay the host's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heml.recombination.attribution.leaf_colors import LeafColors

#: A leaf's colors encode the label if they alone reach this share of the leaf's accuracy above
#: chance.
COLOR_SHARE = 0.5
#: Records of each label that a leaf needs.
LEAST_RECORDS = 10
FOLDS = 5


def colors_that_encode_label(
    colors: Mapping[str, LeafColors], labels: np.ndarray, evidence: Mapping[str, float]
) -> tuple[str, ...]:
    """Leaves whose colors alone reach much of the leaf's accuracy for the label.

    Parameters
    ----------
    colors : mapping of str to LeafColors
    labels : array of str (N,)
        Of the train split.
    evidence : mapping of str to float
        Leaf → its accuracy for the label, less that of chance.
    """
    return tuple(
        leaf
        for leaf, whole in evidence.items()
        if leaf in colors
        and _evidence(
            np.concatenate([colors[leaf].mean, colors[leaf].deviation], axis=1),
            labels[colors[leaf].rows],
        )
        >= COLOR_SHARE * whole
    )


def _evidence(colors: np.ndarray, labels: np.ndarray) -> float:
    """Balanced accuracy above chance of the label from mean and deviation of colors,
    cross-validated; 0 where fewer than two labels have enough records."""
    names, counts = np.unique(labels, return_counts=True)
    usual = names[counts >= LEAST_RECORDS]
    if len(usual) < 2:
        return 0.0
    chosen = np.isin(labels, usual)
    features, own = colors[chosen], labels[chosen]
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, features, own, cv=folds)
    return max(float(balanced_accuracy_score(own, predicted)) - 1 / len(usual), 0.0)
