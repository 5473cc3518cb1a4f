"""Settings of operation: watching the source, and limits on what a run may find."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from heml.parts.settings import Settings


class Watch(Settings):
    """How the source is watched for changes."""

    every: int = Field(300, ge=10, description="Seconds between two looks at the source.")


class Limits(Settings):
    """Values above which a check warns, and fails."""

    warn: float | None = Field(None, ge=0, le=1, description="Above it the check warns.")
    error: float | None = Field(
        None, ge=0, le=1, description="Above it the check fails and stops what follows."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn is not None and self.error is not None and self.warn > self.error:
            raise ValueError(f"warn ({self.warn:g}) must not be above error ({self.error:g})")
        return self


class BudgetSettings(Settings):
    """What a run may find before somebody is told, or the run is stopped."""

    score: Limits = Field(
        Limits(), description="Highest bias score of a leaf, for every attribute."
    )
    attributes: dict[str, Limits] = Field(
        default={},
        description="Likewise, for attributes whose limits differ from `score`; several taken "
        "together are written as the table names them: 'hair_tone × age'.",
    )
    rise: Limits = Field(
        Limits(), description="Rise of a leaf's bias score since the previous measurement."
    )
    quarantined: Limits = Field(
        Limits(), description="Share of quarantined rows among accepted and quarantined ones."
    )
