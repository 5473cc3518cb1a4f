"""The folder of the Dagster instance: where runs, events and schedules are kept."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from heml.storage.locks import locked

TEMPLATE = Path(__file__).with_name("dagster.yaml")


def ensure_home() -> Path:
    """Makes `$DAGSTER_HOME` (default `./.dagster`) absolute and existing, with settings.

    Returns
    -------
    pathlib.Path
    """
    home = Path(os.environ.get("DAGSTER_HOME") or ".dagster").expanduser().absolute()
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        shutil.copyfile(TEMPLATE, settings)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The instance of `ensure_home`, for as long as the block runs.

    One process at a time opens it: two that make a new home's databases together leave databases
    that nobody can open.
    """
    home = ensure_home()
    with locked(home / ".lock"):
        instance = dg.DagsterInstance.get()
    with instance:
        yield instance
