"""Settings of the effect's measurement."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heml.effect.arm import ARMS
from heml.parts.registered_name import RegisteredName
from heml.parts.settings import Settings


class EffectSettings(Settings):
    """How the effect on a held-out test split is measured."""

    enabled: bool = Field(True, description="Whether the effect is measured.")
    seeds: int = Field(3, ge=1, description="Trainings of each arm.")
    size: int = Field(64, ge=16, description="Side of the training images in pixels.")
    steps: int = Field(400, ge=1, description="Optimizer steps of every arm.")
    batch_size: int = Field(64, ge=2, description="Images of one step.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where the arms train; auto is CUDA, else MPS, else the processor."
    )
    arms: list[Annotated[str, RegisteredName(ARMS)]] = Field(
        default=[], description="Other ways to train on the data as it is, to compare with."
    )

    @property
    def all_arms(self) -> tuple[str, ...]:
        """The arms that are always measured, and the recipe's, in the order of tables."""
        return tuple(arm.name for arm in ARMS if arm.always or arm.name in self.arms)
