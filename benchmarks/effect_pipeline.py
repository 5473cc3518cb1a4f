"""Our arm's data: the whole pipeline, run on a task by the same command that users run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

from benchmarks.effect_tasks import Task
from heml.effect.problem import TrainingSet
from heml.effect.training_images import read_rebalanced
from heml.storage.atomic_write import write_aside
from heml.storage.store import Store


def recipe_name(task: Task) -> str:
    """A name that recipes may have, one per task."""
    return f"effect_{task.fingerprint()}"


def run_pipeline(
    task: Task, taxonomy: str | dict, work: Path, settings: dict, discover: bool = False
) -> Store:
    """Brings a task's rebalanced dataset up to date and gives its store.

    Parameters
    ----------
    taxonomy : str or dict
        As recipes have it.
    work : pathlib.Path
        Recipes, results and logs are kept in it; what is unchanged is not computed again.
    settings : dict
        More recipe keys, such as `rebalance`.
    discover : bool
        Whether the attribute is to be discovered instead of given.

    Raises
    ------
    RuntimeError
        If the pipeline failed, with its last lines.
    """
    name = recipe_name(task) + ("_discovered" if discover else "")
    root, metadata = inside_root(task, work)
    recipe = {
        "name": name,
        "source": {
            "kind": "folder",
            "root": str(root),
            "metadata": metadata,
            "label": task.label,
            "attributes": [] if discover else [task.attribute],
            "split": "split",
        },
        "taxonomy": taxonomy,
        "effect": {"enabled": False},
        **settings,
    }
    path = work / "recipes" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    environment = {
        **os.environ,
        "HEML_STORE": str(work.resolve() / "store"),
        "DAGSTER_HOME": str(work.resolve() / "dagster"),
    }
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pipelines.cli", "run", str(path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise RuntimeError(f"the pipeline failed on {task.table}:\n{last}")
    return Store(work.resolve() / "store" / name)


def inside_root(task: Task, work: Path) -> tuple[Path, str]:
    """A root that holds the task's table, and the table's name in it: no recipe reads a table
    outside its root. The files of a table elsewhere are linked beside it, or copied."""
    root, table = task.root.resolve(), task.table.resolve()
    if table.is_relative_to(root):
        return root, table.relative_to(root).as_posix()
    rows = task.rows()
    columns = [c for c in ("file_name", "mask_name") if c in rows.columns]
    names = {name for column in columns for name in rows[column] if name.strip()}
    linked = work.resolve() / "roots" / recipe_name(task)
    if not linked.is_dir():
        with write_aside(linked) as folder:
            for name in sorted(names | {"classes.json"}):
                source, target = root / name, folder / name
                if not source.is_file() or not source.resolve().is_relative_to(root):
                    continue  # the pipeline says what is missing
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    target.hardlink_to(source)
                except OSError:  # another file system
                    shutil.copyfile(source, target)
            shutil.copyfile(table, folder / "metadata.csv")
    return linked, "metadata.csv"


def rebalanced_data(store: Store, labels: list[str], size: int) -> tuple[TrainingSet, np.ndarray]:
    """The train split of a store's rebalanced dataset, and which of its rows are recombined."""
    column = store.summary("rebalanced_dataset")["label_column"]
    codes = {label: code for code, label in enumerate(labels)}
    return read_rebalanced(store.rebalanced_dataset, column, codes, size)
