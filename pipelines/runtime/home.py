"""The folder of the Dagster instance: where runs, events and schedules are kept."""

import os
import shutil
from pathlib import Path

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
