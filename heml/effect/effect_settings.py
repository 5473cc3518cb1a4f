"""Settings of the effect's measurement."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from data_contracts.debias_effect import ARMS, EXTRA_ARMS
from heml.parts.settings import Settings


class EffectSettings(Settings):
    """How the effect on a held-out test split is measured."""

    enabled: bool = True
    seeds: int = Field(3, ge=1)
    size: int = Field(64, ge=16, description="Side of the training images in pixels.")
    steps: int = Field(400, ge=1, description="Optimizer steps of every arm.")
    batch_size: int = Field(64, ge=2)
    arms: list[Literal[EXTRA_ARMS]] = Field(  # type: ignore[valid-type]
        default=[], description="Other ways to train on the data as it is, to compare with."
    )

    @property
    def all_arms(self) -> tuple[str, ...]:
        """The arms that are always measured, and the recipe's, in the order of tables."""
        return tuple(arm for arm in ARMS if arm not in EXTRA_ARMS or arm in self.arms)
