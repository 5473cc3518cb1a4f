"""Alerts: a sensor for each recipe that tells a team of failed runs, failed checks and budgets.

Messages go through Apprise, which speaks mail, chats and webhooks. Secrets in its URLs come from
the environment, and no URL is ever logged.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from pipelines.jobs import is_run_of
from pipelines.recipe.model import LoadedRecipe

#: Checks that compare with the recipe's `budget`.
BUDGET_CHECKS = frozenset({"bias_budget", "bias_against_previous", "quarantined_budget"})
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


class AlertError(RuntimeError):
    """A message that could not be sent; says where to look, without the URL's secrets."""


@dataclass(frozen=True)
class Alert:
    """What is sent of one run."""

    title: str
    lines: tuple[str, ...]


def alert_sensors(recipe: LoadedRecipe) -> list[dg.SensorDefinition]:
    """Sensors that tell of a recipe's finished runs; none if the recipe asks for no alerts."""
    if recipe.settings.alerts is None:
        return []
    settings = recipe.settings.alerts

    def tell(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
        if not is_run_of(context.dagster_run, recipe.name):
            return dg.SkipReason("a run of another recipe")
        alert = alert_of(context.instance, context.dagster_run, recipe.name, settings.events)
        if alert is None:
            return dg.SkipReason("nothing to tell")
        send(settings.to, alert)
        return None

    return [
        dg.run_status_sensor(
            name=f"{recipe.name}_alert_{status.value.lower()}",
            run_status=status,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description=f"Tells {len(settings.to)} receivers what a run of {recipe.name} found.",
        )(tell)
        for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS)
    ]


def alert_of(
    instance: dg.DagsterInstance, run: dg.DagsterRun, recipe: str, events: Sequence[str]
) -> Alert | None:
    """What is to be told of a finished run; None for nothing.

    Parameters
    ----------
    recipe : str
        Its name.
    events : sequence of str
        Kinds of events, as in the recipe's `alerts.events`.
    """
    failed = run.status == dg.DagsterRunStatus.FAILURE
    lines = []
    if failed and "failed_runs" in events:
        lines.append(f"Run {run.run_id[:8]} of job {run.job_name} failed.")
        lines += _failures(instance, run.run_id)
    lines += _checks(instance, run.run_id, events)
    if not lines:
        return None
    verdict = "failed" if failed else "finished with warnings"
    return Alert(f"HEML: {recipe} {verdict}", tuple(lines))


def _failures(instance: dg.DagsterInstance, run_id: str) -> Iterator[str]:
    for record in _events(instance, run_id, dg.DagsterEventType.STEP_FAILURE):
        event = record.event_log_entry.dagster_event
        assert event is not None
        error = event.step_failure_data.error
        inner = error.cause if error is not None and error.cause is not None else error
        message = "unknown cause" if inner is None else " ".join(inner.message.split())
        yield f"{event.step_key}: {message}"


def _checks(instance: dg.DagsterInstance, run_id: str, events: Sequence[str]) -> Iterator[str]:
    for record in _events(instance, run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        event = record.event_log_entry.dagster_event
        assert event is not None
        check = event.asset_check_evaluation_data
        budget = check.check_name in BUDGET_CHECKS
        if not check.passed and ("failed_checks" in events or (budget and "budgets" in events)):
            stage = "/".join(check.asset_key.path[1:])
            kind = check.severity.value.lower()
            yield f"{stage}, check {check.check_name} ({kind}): {check.description or ''}".rstrip()


def _events(
    instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType
) -> Iterator[dg.EventLogRecord]:
    cursor, more = None, True
    while more:
        page = instance.get_records_for_run(run_id, cursor=cursor, of_type=kind, limit=500)
        yield from page.records
        cursor, more = page.cursor, page.has_more


def send(urls: Sequence[str], alert: Alert) -> None:
    """Sends an alert to every receiver.

    Parameters
    ----------
    urls : sequence of str
        Apprise URLs with `$VARIABLES`.

    Raises
    ------
    AlertError
        If a variable is not set, a URL is none that Apprise knows, or a receiver did not take it;
        the other receivers are told all the same.
    """
    import apprise

    problems = []
    for number, url in enumerate(urls, start=1):
        receiver = f"alerts.to[{number - 1}] ({url.partition(':')[0]})"
        missing = [v for v in _variables(url) if not os.environ.get(v)]
        if missing:
            problems.append(f"{receiver}: environment variable {', '.join(missing)} is not set")
            continue
        notifier = apprise.Apprise()
        if not notifier.add(_VARIABLE.sub(lambda m: os.environ[m[1] or m[2]], url)):
            problems.append(f"{receiver}: not a URL that Apprise understands")
        elif not notifier.notify(title=alert.title, body="\n".join(alert.lines)):
            problems.append(f"{receiver}: the receiver did not take the message")
    if problems:
        raise AlertError("; ".join(problems))


def _variables(url: str) -> list[str]:
    return [match[1] or match[2] for match in _VARIABLE.finditer(url)]
