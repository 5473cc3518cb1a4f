"""The process that steps are forked from: it has imported everything before. No Dagster here."""

from multiprocessing import forkserver

#: Imported once by the fork server, so that a step starts in a fraction of a second. A module that
#: cannot be imported is left to the step that needs it. Importing these touches no accelerator:
#: forked children could not use it.
PRELOADED = [
    "pipelines.definitions",
    # The main module of `heml run`, which each child loads again under another name.
    "pipelines.cli.app",
    # What Dagster imports only when an instance is opened or a step is executed.
    "dagster._core.execution.plan.active",
    "dagster._core.executor.multiprocess",
    "dagster._core.instance.factory",
    "dagster._core.launcher.default_run_launcher",
    "dagster._core.scheduler.scheduler",
    "dagster._core.secrets.env_file",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.sqlite_storage",
    "dagster._core.workspace.context",
    "sqlalchemy.dialects.sqlite",
    "upath.core",
    # What libraries import at their first use.
    "pandera.backends.pandas.builtin_checks",
    "pandera.backends.pandas.register",
    "torch._dynamo",
    # What asset modules import inside their functions.
    "heml.sources.ingest",
    "heml.segmentation.segments_stage",
    "heml.metrics.level",
    "heml.tree.tree_stage",
    "heml.bias.group_discovery",
    "heml.bias.bias_stage",
    "heml.recombination.recombination_stage",
    "heml.dataset.dataset_stage",
    "heml.dataset.export",
    "heml.audit.detectability_stage",
    "heml.effect.effect_stage",
    "heml.report.figures.by_name",
    "heml.report.report_stage",
    "pipelines.runtime.frozen_heap",
]


def start() -> None:
    """Starts it, if it does not run; it imports beside what this process goes on with.

    Multiprocessing keeps one of them per process, and Dagster's executor takes the one that is
    there. The environment and where output goes are those of now.
    """
    forkserver.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
