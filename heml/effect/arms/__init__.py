"""The arms: ways to train on biased data, one module each, all in the same training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from heml.effect.arms import (
    cutmix,
    dfr,
    erm,
    group_balanced,
    group_dro,
    oracle,
    random_paste,
    rebalanced,
    reweighting,
    subg,
)
from heml.effect.problem import Problem, Tell

#: Trains one network: problem, seed, and whom to tell of the steps.
Arm = Callable[[Problem, int, Tell], nn.Module]

#: Arms by the names that recipes and tables use, in the order of tables.
TRAINERS: Mapping[str, Arm] = {
    "erm": erm.train,
    "group_balanced": group_balanced.train,
    "subg": subg.train,
    "reweighting": reweighting.train,
    "group_dro": group_dro.train,
    "cutmix": cutmix.train,
    "random_paste": random_paste.train,
    "dfr": dfr.train,
    "rebalanced": rebalanced.train,
    "oracle": oracle.train,
}
