"""A recipe's job, found by name: what step processes load again."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    # What define_asset_job gives; dagster does not export it.
    pass


def stored_job(name: str) -> dg.JobDefinition:
    """The job of a recipe as step processes load it again."""
    from pipelines.definitions import defs

    return defs.resolve_job_def(name)
