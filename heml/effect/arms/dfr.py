"""Last-layer retraining (Kirichenko et al. 2023, DFR): features learned on the data as it is, the
last layer refitted on group-balanced data.

The refit takes the validation split where it has every group of train, otherwise the train split
itself (the paper's variant DFR-Tr-Tr). As in the paper, the layer is the mean of logistic
regressions with an L1 penalty on several balanced draws, and the penalty's strength is the one
whose worst group is best on the half of each draw that was not fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from heml.effect.arm import ARMS, Arm
from heml.effect.arms import erm
from heml.effect.arms.subg import smallest_groups
from heml.effect.problem import Problem, Tell, TrainingSet

if TYPE_CHECKING:
    from heml.effect.training_loop import Trained

#: Balanced draws whose layers are averaged, the paper's number.
DRAWS = 10
#: Inverse strengths of the penalty to choose from, within the paper's range.
STRENGTHS = (1.0, 0.3, 0.1, 0.03)
#: Logit of a label value that the refit never saw.
NEVER = -1e4


def train(problem: Problem, seed: int, tell: Tell) -> Trained:
    import torch
    from sklearn.preprocessing import StandardScaler
    from torch import nn

    from heml.effect.probe_network import run

    trained = erm.train(problem, seed, tell)
    network = trained.network
    body, head = network[:-1], network[-1]
    assert isinstance(head, nn.Linear)
    data, is_validation = _refit_on(problem)
    features = run(body, data.images).astype(float)
    scaler = StandardScaler().fit(features)
    scaled = scaler.transform(features)
    weights, biases = np.zeros(tuple(head.weight.shape)), np.zeros(problem.classes)
    draws = [smallest_groups(data, np.random.default_rng([seed, n])) for n in range(DRAWS)]
    strength = _chosen(scaled, data, draws, problem.classes)
    for rows in draws:
        weight, bias = _layer(scaled[rows], data.labels[rows], problem.classes, strength)
        weights += weight / DRAWS
        biases += bias / DRAWS
    weights = weights / scaler.scale_
    biases = biases - weights @ scaler.mean_
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights).float())
        head.bias.copy_(torch.from_numpy(biases).float())
    return replace(trained, n_train=trained.n_train + len(data) * is_validation)


def _refit_on(problem: Problem) -> tuple[TrainingSet, bool]:
    """What the last layer is refitted on, and whether it is of the validation split."""
    train = problem.train.of_known_groups()
    if problem.validation is None:
        return train, False
    validation = problem.validation.of_known_groups()
    complete = bool(np.isin(train.groups, validation.groups).all())
    return (validation, True) if complete else (train, False)


def _chosen(
    features: np.ndarray, data: TrainingSet, draws: Sequence[np.ndarray], classes: int
) -> float:
    """The strength whose worst group is best on what it was not fitted on; the first of equals."""
    scores = []
    for strength in STRENGTHS:
        worst = []
        for rows in draws:
            # A draw has as many of each group: every second one of each is fitted.
            place = np.argsort(data.groups[rows], kind="stable")
            each = len(rows) // len(np.unique(data.groups[rows]))
            fitted = rows[place[np.arange(len(rows)) % each % 2 == 0]]
            left = np.setdiff1d(rows, fitted)
            if len(left) == 0:
                return STRENGTHS[0]
            weight, bias = _layer(features[fitted], data.labels[fitted], classes, strength)
            right = (features[left] @ weight.T + bias).argmax(1) == data.labels[left]
            worst.append(min(right[data.groups[left] == c].mean() for c in set(data.groups[left])))
        scores.append(np.mean(worst))
    return STRENGTHS[int(np.argmax(scores))]


def _layer(
    features: np.ndarray, labels: np.ndarray, classes: int, strength: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Weights (classes, D) and biases (classes,): each label value against the others."""
    from sklearn.linear_model import LogisticRegression

    weight, bias = np.zeros((classes, features.shape[1])), np.full(classes, NEVER)
    seen = np.unique(labels)
    bias[seen] = 0
    # Of two label values one layer says all, the first's being zero.
    for label in seen[1:] if len(seen) == 2 else seen:
        if len(seen) > 1:
            model = LogisticRegression(
                C=strength, l1_ratio=1, solver="liblinear", max_iter=500, random_state=0
            )
            model.fit(features, labels == label)
            weight[label], bias[label] = model.coef_[0], model.intercept_[0]
    return weight, bias


ARMS.register(
    Arm(
        name="dfr",
        rank=80,
        words="last-layer retraining",
        description="The last layer is refitted on group-balanced data "
        "(DFR, Kirichenko et al. 2023).",
        train=train,
    )
)
