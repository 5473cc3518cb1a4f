"""A recipe's job, found by name: what step processes load again."""

import dagster as dg


def stored_job(name: str) -> dg.JobDefinition:
    """The job of a recipe as step processes load it again."""
    from pipelines.definitions import defs

    return defs.resolve_job_def(name)
