"""`python -m benchmarks.effect`: what the rebalanced dataset changes, against other methods.

Every arm trains the same small network for the same number of steps on the same biased images, and
is judged on the same balanced test images.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from benchmarks.effect_pipeline import run_pipeline
from benchmarks.effect_runs import Job, Result, run_jobs
from benchmarks.effect_table import Experiment, edited, markdown
from benchmarks.effect_tasks import Task, TaskData, TaskError, read_task
from benchmarks.oracle_arm import ORACLE
from heml.audit.detector_images import read_train_images
from heml.audit.edit_detectability import EditDetectability, measure_edit_detectability
from heml.effect.arm import ARMS
from heml.effect.effect_settings import EffectSettings
from heml.effect.intervals import Trial
from heml.storage.store import Store
from heml.taxonomy import builtin_names

QUICK = {"steps": 60, "size": 32}
DEFAULT_SEEDS = 3

#: In the order of tables: the unbiased set is known once its module is imported.
ALL_ARMS = (*(arm.name for arm in ARMS if arm is not ORACLE), ORACLE.name)

Say = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the comparison and prints its table; returns the exit status."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {line}", file=sys.stderr, flush=True)

    try:
        tasks, taxonomy = _tasks(options)
        table = compare(tasks, taxonomy, options, say)
    except (TaskError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table)
    if options.out:
        options.out.write_text(table + "\n")
    return 0


def _tasks(options: argparse.Namespace) -> tuple[list[Task], str | dict]:
    if options.portraits:
        from benchmarks.effect_portraits import ATTRIBUTE, LABEL, portrait_tables

        root, tables = portrait_tables(options.work, options.splits, options.quick)
        return [Task(t.stem, t, root, LABEL, ATTRIBUTE) for t in tables], "portraits"
    if not (options.root and options.task and options.label and options.attribute):
        raise TaskError("give --root, --task, --label and --attribute, or --portraits")
    tables = [t if t.is_file() else options.root / t for t in options.task]
    names = [t.stem for t in tables]
    if len(set(names)) < len(names):
        raise TaskError("two tasks have the same file name: give them different ones")
    taxonomy = options.taxonomy or _taxonomy_of(options.root)
    if taxonomy not in builtin_names():
        taxonomy = yaml.safe_load(Path(taxonomy).read_text(encoding="utf-8"))
    return [
        Task(t.stem, t, options.root, options.label, options.attribute) for t in tables
    ], taxonomy


def _taxonomy_of(root: Path) -> str:
    """The built-in taxonomy that is called like the folder, or begins so."""
    name = root.resolve().name
    fitting = [known for known in builtin_names() if known.startswith(name)]
    if len(fitting) != 1:
        raise TaskError(f"which taxonomy? --taxonomy is one of {', '.join(builtin_names())}")
    return fitting[0]


def compare(tasks: list[Task], taxonomy: str | dict, options: argparse.Namespace, say: Say) -> str:
    """Trains all arms on all tasks and gives the table as Markdown."""
    settings = EffectSettings(seeds=options.seeds, **(QUICK if options.quick else {}))
    if options.steps:
        settings = settings.model_copy(update={"steps": options.steps})
    data = [read_task(task, settings.size, options.work / "images") for task in tasks]
    arms = _possible_arms(options.arms, data, say)
    stores: dict[Task, Path] = {}
    if "rebalanced" in arms:
        for task in tasks:
            say(f"pipeline on {task.table}")
            extra = {"metric": {"epochs": 6}} if options.quick or options.portraits else {}
            extra |= yaml.safe_load(options.recipe.read_text()) if options.recipe else {}
            stores[task] = run_pipeline(
                task, taxonomy, options.work, extra, discover=options.discover
            ).root
    # Self-recombined test images need a taxonomy by name.
    named = taxonomy if isinstance(taxonomy, str) else None
    jobs = [
        Job(task, arm, seed, settings, stores.get(task), options.work, named)
        for task in tasks
        for arm in arms
        for seed in range(settings.seeds)
    ]
    results = run_jobs(jobs, options.workers, say)
    found = {}
    for task in tasks:
        if task in stores:
            say(f"detector of recombined images on {task.name}")
            try:
                found[task.name] = _artifacts(Store(stores[task]), settings)
            except ValueError as error:  # too few recombined images
                say(f"not measured: {error}")
    trials = [
        Trial(d.test_names, d.splits["test"].groups, _correct(results, task, arms, settings.seeds))
        for task, d in zip(tasks, data, strict=True)
    ]
    sizes = {arm: [results[task.name, arm, 0].n_train for task in tasks] for arm in arms}
    return markdown(Experiment(tasks, data, settings, trials, sizes, found))


def _artifacts(store: Store, settings: EffectSettings) -> EditDetectability:
    summary = store.summary("rebalanced_dataset")
    columns = summary["label_column"], summary["attribute_columns"]
    rows = read_train_images(store.rebalanced_dataset, *columns, settings.size)
    return measure_edit_detectability(*rows, steps=settings.steps // 2)


def _possible_arms(wanted: Sequence[str], data: Sequence[TaskData], say: Say) -> list[str]:
    arms = [arm for arm in ALL_ARMS if arm in wanted]
    if any("oracle" not in d.splits for d in data) and "oracle" in arms:
        say("no split 'oracle': the share of the gap closed is not measured")
        arms.remove("oracle")
    if any(d.splits["train"].segments is None for d in data) and "random_paste" in arms:
        say("not every row has a mask_name: random paste of segments is left out")
        arms.remove("random_paste")
    return arms


def _correct(
    results: Mapping[tuple[str, str, int], Result], task: Task, arms: Sequence[str], seeds: int
) -> dict[str, np.ndarray]:
    """By arm, and by arm on self-recombined images under `edited(arm)`."""
    correct = {}
    for arm in arms:
        own = [results[task.name, arm, seed] for seed in range(seeds)]
        correct[arm] = np.stack([result.correct for result in own])
        edits = [result.edited for result in own if result.edited is not None]
        if len(edits) == seeds:
            correct[edited(arm)] = np.stack(edits)
    return correct


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.effect", description=__doc__)
    parser.add_argument("--root", type=Path, help="folder that the tables' file names start from")
    parser.add_argument(
        "--task", type=Path, action="append", help="CSV of one biased split; give several"
    )
    parser.add_argument("--label", help="column of the label")
    parser.add_argument("--attribute", help="column of the attribute")
    parser.add_argument(
        "--taxonomy", help=f"one of {', '.join(builtin_names())}, or a YAML file with one"
    )
    parser.add_argument(
        "--recipe", type=Path, help="YAML with more recipe keys of our arm, such as segmentation"
    )
    parser.add_argument(
        "--discover", action="store_true", help="our arm is given no attribute: it is discovered"
    )
    parser.add_argument("--portraits", action="store_true", help="drawn portraits, planted bias")
    parser.add_argument("--splits", type=int, default=3, help="of the portraits (default 3)")
    parser.add_argument("--seeds", type=int, default=DEFAULT_SEEDS)
    parser.add_argument("--steps", type=int, help="optimizer steps of every arm")
    parser.add_argument(
        "--arms", type=_arms, default=ALL_ARMS, help="some of: " + ",".join(ALL_ARMS)
    )
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument(
        "--work", type=Path, default=Path("effect-work"), help="results are kept here"
    )
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    parser.add_argument("--quick", action="store_true", help="few steps: does it run at all")
    return parser


def _arms(text: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    unknown = [name for name in names if name not in ALL_ARMS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"no arm '{', '.join(unknown)}'; there are {', '.join(ALL_ARMS)}"
        )
    return names


if __name__ == "__main__":
    sys.exit(main())
