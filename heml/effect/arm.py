"""Effect arms: ways to train on a dataset, all with the same network and the same number of steps.

An arm that comes with HEML is a module of `heml.effect.arms`; another distribution gives one by an
entry point of the group `heml.arms`. What trains imports torch when it is called: whoever asks for
names and words, such as the command's summary, need not load it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_contracts.debias_effect import ARM_NAMES
from heml.parts.registry import Registry

if TYPE_CHECKING:
    from heml.effect.problem import Problem, Tell
    from heml.effect.training_loop import Trained


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Parameters
    ----------
    name : str
        In recipes and in the table `debias_effect`; SubpopBench's where it has one.
    rank : int
        Place in tables, the lowest first.
    words : str
        What reports call it, after "trained on" or "trained with".
    description : str
        One sentence, with the source.
    train : callable
        Trains one network: problem, seed, and whom to tell of the steps.
    always : bool
        Measured whether a recipe names it or not.
    needs_segments : bool
        Whether `problem.train` must have segments.
    """

    name: str
    rank: int
    words: str
    description: str
    train: Callable[[Problem, int, Tell], Trained]
    always: bool = False
    needs_segments: bool = False


ARMS: Registry[Arm] = Registry("effect arm", "heml.effect.arms", "heml.arms")
ARM_NAMES.provided_by(ARMS.names)
