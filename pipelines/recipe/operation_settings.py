"""Settings of operation: when a recipe runs, who is notified, and limits on what a run may find."""

from __future__ import annotations

from typing import Literal, Self
from zoneinfo import available_timezones

from pydantic import Field, field_validator, model_validator

from heml.parts.settings import Settings
from heml.taxonomy import nearest


class Watch(Settings):
    """How the source is watched for changes."""

    every: int = Field(300, ge=10, description="Seconds between two looks at the source.")


class Schedule(Settings):
    """When a recipe runs by itself."""

    cron: str = Field(description="A cron line, such as '0 3 * * 1' (Mondays at 3:00).")
    timezone: str = Field("UTC", description="IANA name, such as Europe/Zurich.")

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        import dagster as dg

        try:
            dg.ScheduleDefinition(job_name="any", cron_schedule=value)
        except dg.DagsterInvalidDefinitionError as error:
            raise ValueError(
                f"'{value}' is no cron line; such as '0 3 * * 1' (Mondays at 3:00)"
            ) from error
        return value

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        known = available_timezones()
        if value not in known:
            raise ValueError(f"'{value}' is no time zone; {nearest(value, known)}")
        return value


class Alerts(Settings):
    """Who is notified, and of which events."""

    to: list[str] = Field(
        min_length=1,
        description="Apprise URLs of mail, chats and webhooks, such as mailtos://... or "
        "slack://...; ${VARIABLES} come from the environment, for secrets.",
    )
    events: list[Literal["failed_runs", "failed_checks", "budgets"]] = Field(
        default=["failed_runs", "failed_checks", "budgets"],
        min_length=1,
        description="failed_runs: a run that failed. failed_checks: any check that did not pass. "
        "budgets: the checks of `budget` alone.",
    )


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
    """Limits on what a run finds: above them a check warns, or stops what follows."""

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
