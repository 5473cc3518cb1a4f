"""Steps on a Ray cluster: `HEML_RAY_JOBS` names it, and steps become its jobs.

What spreads one stage over the cluster, `HEML_RAY`, is `heml.compute.cluster_map`'s.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Asking for the address takes no time.
    import dagster as dg

#: What steps on other machines must know; credentials come from the environment of the cluster.
ENVIRONMENT = (
    "DAGSTER_HOME", "HEML_CACHE", "HEML_DATA", "HEML_RAY_JOBS", "HEML_RECIPES",
    "HEML_RECIPE_FILES", "HEML_STORE", "PYTHONPATH",
)  # fmt: skip


def ray_jobs() -> str | None:
    """URL of the cluster's job server, such as `http://head:8265`; None: steps run here."""
    return os.environ.get("HEML_RAY_JOBS") or None


def ray_steps(address: str) -> "dg.ExecutorDefinition":
    """Every step a job of the cluster, with one processor; within it, stages use the cluster too.

    Parameters
    ----------
    address : str
        See `ray_jobs`.
    """
    from dagster_ray import ray_executor

    known = [name for name in ENVIRONMENT if name in os.environ]
    return ray_executor.configured(
        {
            "ray": {
                "address": address,
                "num_cpus": 1,
                "env_vars": [*known, "HEML_RAY=auto"],
            },
            "retries": {"enabled": {}},
        },
        name="ray",
    )
