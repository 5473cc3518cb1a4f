"""What a step does about a fault: another try for one that passes, one clear line for the rest."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import dagster as dg

from heml.compute.progress import Progress
from heml.storage.locks import locked
from pipelines.runtime.transient_errors import disk_full, passes

#: Further tries of a step, and the seconds before each.
WAITS = (5, 30, 120)


@contextmanager
def recovering(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> Iterator[None]:
    """Turns faults of the block into what Dagster understands.

    Raises
    ------
    dagster.RetryRequested
        For a connection that broke, a server that is away and the like: Dagster starts the step
        again after a while. What it had finished is kept.
    dagster.Failure
        Where the disk is full.
    """
    try:
        yield
    except Exception as error:
        tried = context.op_execution_context.retry_number
        if passes(error) and tried < len(WAITS):
            context.log.warning(
                f"{_in_a_line(error)}; trying again in {WAITS[tried]} s "
                f"({tried + 1} of {len(WAITS)})"
            )
            raise dg.RetryRequested(len(WAITS), WAITS[tried]) from error
        if disk_full(error):
            raise dg.Failure(
                f"the disk is full: {_in_a_line(error)}; free some space, for example "
                "with `heml clean RECIPE`, and run again: finished stages are kept",
                allow_retries=False,
            ) from error
        raise


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def accelerator_turn(progress: Progress) -> Iterator[None]:
    """One step at a time on this machine's accelerator, whichever run it is of.

    Steps of one run already wait for each other. The lock is the process's: a killed step leaves
    none. Without an accelerator nobody waits.
    """
    turn = (
        locked(accelerator_lock(), lambda: progress("another run uses the accelerator; waiting"))
        if has_accelerator()
        else nullcontext()
    )
    with turn:
        yield


def accelerator_lock() -> Path:
    return Path(tempfile.gettempdir()) / f"heml-accelerator-{os.getuid()}.lock"


def has_accelerator() -> bool:
    """Whether this machine has a device beside its processor to compute on."""
    from heml.compute.device import choose_device

    return choose_device("auto").type != "cpu"
