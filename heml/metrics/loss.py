"""What a loss is, and which there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from heml.metrics.distance import Distance
from heml.parts.registry import Registry

if TYPE_CHECKING:
    from heml.metrics.objective import Objective


@dataclass(frozen=True)
class LossContext:
    """What a loss is built from.

    Parameters
    ----------
    distance : Distance
        What embeddings are compared by.
    miner : str
        Which pairs or triplets of a batch count; "default" is the loss's own choice.
    margin : float
        Triplet margin, in units of the distance.
    classes : int
        Number of label values.
    embedding : int
        Dimensions.
    seed : int
        For losses with parameters of their own.
    """

    distance: Distance
    miner: str
    margin: float
    classes: int
    embedding: int
    seed: int


class Loss(ABC):
    """A loss by name.

    Attributes
    ----------
    name : str
    rank : int
    description : str
        One line for the documentation of recipes.
    mines : bool
        Whether the recipe may choose a miner.
    only_distance : str, optional
        The distance that it is defined for; any if None.
    """

    name: ClassVar[str]
    rank: ClassVar[int]
    description: ClassVar[str]
    mines: ClassVar[bool] = True
    only_distance: ClassVar[str | None] = None

    def problem(self, distance: str, miner: str) -> str | None:
        """Why a recipe cannot combine it with a distance and a miner, with what to use instead."""
        if self.only_distance not in (None, distance):
            return (
                f"loss {self.name} has no distance {distance}; "
                f"use loss contrastive, or distance {self.only_distance}"
            )
        if miner != "default" and not self.mines:
            return f"loss {self.name} chooses its pairs itself; use miner default"
        return None

    @abstractmethod
    def objective(self, context: LossContext) -> Objective:
        """The loss as training minimizes it. Import torch here, not in the module."""


LOSSES: Registry[Loss] = Registry("loss", "heml.metrics.losses", "heml.losses")
