"""Last-layer retraining (Kirichenko et al. 2023, DFR): features learnt on the data as it is, the
last layer refitted on cell-balanced data.

The refit takes the validation split where it has every cell of train, otherwise the train split
itself (the paper's variant DFR-Tr-Tr). As in the paper, the layer is the mean of logistic
regressions on several balanced draws; the penalty is scikit-learn's default, as there is too
little data to choose one.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from heml.effect.arms import as_is
from heml.effect.arms.undersampled import smallest_cells
from heml.effect.network import run
from heml.effect.problem import Problem, Tell, TrainingSet

#: Balanced draws whose layers are averaged, the paper's number.
DRAWS = 10
#: Inverse strength of the penalty.
C = 1.0
#: Logit of a label value that the refit never saw.
NEVER = -1e4


def train(problem: Problem, seed: int, tell: Tell) -> nn.Module:
    network = as_is.train(problem, seed, tell)
    body, head = network[:-1], network[-1]
    assert isinstance(head, nn.Linear)
    data = _refit_on(problem)
    features = run(body, data.images).astype(float)
    scaler = StandardScaler().fit(features)
    scaled = scaler.transform(features)
    weights, biases = np.zeros(tuple(head.weight.shape)), np.zeros(problem.classes)
    for draw in range(DRAWS):
        rows = smallest_cells(data, np.random.default_rng([seed, draw]))
        weight, bias = _layer(scaled[rows], data.labels[rows], problem.classes)
        weights += weight / DRAWS
        biases += bias / DRAWS
    weights = weights / scaler.scale_
    biases = biases - weights @ scaler.mean_
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights))
        head.bias.copy_(torch.from_numpy(biases))
    return network


def _refit_on(problem: Problem) -> TrainingSet:
    train = problem.train.of_known_cells()
    if problem.validation is None:
        return train
    validation = problem.validation.of_known_cells()
    return validation if np.isin(train.cells, validation.cells).all() else train


def _layer(features: np.ndarray, labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (classes, D) and biases (classes,) of a logistic regression."""
    weight, bias = np.zeros((classes, features.shape[1])), np.full(classes, NEVER)
    seen = np.unique(labels)
    bias[seen] = 0
    if len(seen) > 1:
        model = LogisticRegression(C=C, max_iter=500).fit(features, labels)
        # Of two label values scikit-learn keeps the second one's layer, the first's being zero.
        rows = seen[1:] if len(seen) == 2 else seen
        weight[rows], bias[rows] = model.coef_, model.intercept_
    return weight, bias
