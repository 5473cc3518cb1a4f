"""The arms: ways to train on biased data, one module each, all in the same training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from heml.effect.arms import (
    as_is,
    cutmix,
    group_balanced,
    group_dro,
    last_layer,
    oracle,
    random_paste,
    rebalanced,
    reweighted,
    undersampled,
)
from heml.effect.problem import Problem, Tell

#: Trains one network: problem, seed, and whom to tell of the steps.
Arm = Callable[[Problem, int, Tell], nn.Module]

#: Arms by the names that recipes and tables use, in the order of tables.
TRAINERS: Mapping[str, Arm] = {
    "as_is": as_is.train,
    "group_balanced": group_balanced.train,
    "undersampled": undersampled.train,
    "reweighted": reweighted.train,
    "group_dro": group_dro.train,
    "cutmix": cutmix.train,
    "random_paste": random_paste.train,
    "last_layer": last_layer.train,
    "rebalanced": rebalanced.train,
    "oracle": oracle.train,
}
