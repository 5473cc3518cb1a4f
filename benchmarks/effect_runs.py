"""Training every arm on every split with every seed, each result kept as JSON with its network: a
run that was stopped goes on where it was, and another plan trains no other arm again."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import nn

from benchmarks.effect_detectability import self_recombined
from benchmarks.effect_pipeline import rebalanced_data
from benchmarks.effect_tasks import Task, TaskData, read_task
from heml.effect.arm import ARMS
from heml.effect.effect_settings import EffectSettings
from heml.effect.effect_stage import VERSION
from heml.effect.probe_network import predict, small_network
from heml.effect.problem import Problem, TrainingSet
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.store import Store
from heml.taxonomy import builtin


@dataclass(frozen=True)
class Job:
    """One network to train.

    Parameters
    ----------
    task : Task
    arm : str
    seed : int
    settings : EffectSettings
    store : pathlib.Path, optional
        Of the pipeline's run on the task, for the arm `rebalanced`.
    work : pathlib.Path
    taxonomy : str, optional
        To judge the network on self-recombined test images too; needs the store.
    """

    task: Task
    arm: str
    seed: int
    settings: EffectSettings
    store: Path | None
    work: Path
    taxonomy: str | None = None

    def result(self) -> Path:
        """The file of the result; another one whenever anything that matters is different."""
        content = [VERSION, self.task.fingerprint(), self.settings.model_dump(), torch.__version__]
        if self.arm == "rebalanced" and self.store is not None:
            content.append(Store(self.store).fingerprint("rebalanced_dataset"))
        key = fingerprint(content)
        return self.work / "results" / f"{self.task.name}-{self.arm}-{self.seed}-{key}.json"

    def network(self) -> Path:
        """The file of the trained network, beside the result's; it may be deleted."""
        return self.result().with_suffix(".safetensors")

    def edited(self) -> Path | None:
        """The file of what the network says of self-recombined images, if they can be made."""
        if self.taxonomy is None or self.store is None:
            return None
        plan = fingerprint(Store(self.store).fingerprint("rebalance_plan"))
        return self.result().with_suffix(f".{plan}.json")


@dataclass(frozen=True)
class Result:
    """What a network got right.

    Parameters
    ----------
    correct : bool array (N,)
        By test image, in the task's order.
    edited : bool array (N,), optional
        The same on self-recombined test images.
    n_train : int
    seconds : float
        Processor time of the training.
    """

    correct: np.ndarray
    edited: np.ndarray | None
    n_train: int
    seconds: float


def run_jobs(
    jobs: Sequence[Job], workers: int, say: Callable[[str], None]
) -> dict[tuple[str, str, int], Result]:
    """Results by task, arm and seed; only those that are missing are computed."""
    missing = [job for job in jobs if not _finished(job)]
    if len(missing) < len(jobs):
        say(f"{len(jobs) - len(missing)} of {len(jobs)} results kept from earlier")

    def tell(number: int, job: Job, result: Result) -> None:
        say(
            f"{number}/{len(missing)} {job.task.name} {job.arm} seed {job.seed}: "
            f"{result.correct.mean():.2f} right, {result.seconds:.0f} s"
        )

    if workers == 1:
        torch.set_num_threads(1)
        for number, job in enumerate(missing, start=1):
            tell(number, job, train_and_keep(job))
    elif missing:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
            running = {pool.submit(train_and_keep, job): job for job in missing}
            for number, done in enumerate(as_completed(running), start=1):
                tell(number, running[done], done.result())
    return {(job.task.name, job.arm, job.seed): read_result(job) for job in jobs}


def _finished(job: Job) -> bool:
    edited = job.edited()
    asked = edited is not None and not edited.is_file() and job.network().is_file()
    return job.result().is_file() and not asked


def train_and_keep(job: Job) -> Result:
    """Trains one network, unless it is kept, and writes what it says."""
    data = _task_data(job.task, job.settings.size, job.work)
    test = data.splits["test"]
    if not job.result().is_file():
        problem = _problem(job, data)
        started = time.process_time()
        trained = ARMS[job.arm].train(problem, job.seed, lambda step: None)
        content = {
            "task": job.task.name,
            "arm": job.arm,
            "seed": job.seed,
            "correct": _right(trained.network, test.images, test.labels),
            "n_train": trained.n_train,
            "seconds": time.process_time() - started,
        }
        with write_aside(job.network()) as aside:
            save_model(trained.network, str(aside))
        with write_aside(job.result()) as aside:
            aside.write_text(json.dumps(content))
    edited, controls = job.edited(), _controls(job, tuple(data.test_names))
    if edited is not None and controls is not None:
        network = small_network(len(data.labels)).eval()
        load_model(network, str(job.network()))
        with write_aside(edited) as aside:
            aside.write_text(json.dumps(_right(network, controls, test.labels)))
    return read_result(job)


def _right(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> list[int]:
    right: list[int] = (predict(network, images) == labels).astype(int).tolist()
    return right


def read_result(job: Job) -> Result:
    """What `train_and_keep` wrote."""
    content = json.loads(job.result().read_text())
    edited = job.edited()
    return Result(
        np.array(content["correct"], bool),
        np.array(json.loads(edited.read_text()), bool) if edited and edited.is_file() else None,
        content["n_train"],
        content["seconds"],
    )


@cache
def _task_data(task: Task, size: int, work: Path) -> TaskData:
    return read_task(task, size, work / "images")


@cache
def _rebalanced(store: Path, key: str, labels: tuple[str, ...], size: int) -> TrainingSet:
    return rebalanced_data(Store(store), list(labels), size)[0]


def _controls(job: Job, names: tuple[str, ...]) -> np.ndarray | None:
    if job.taxonomy is None or job.store is None:
        return None
    return self_recombined(
        Store(job.store),
        builtin(job.taxonomy),
        job.task,
        list(names),
        job.settings.size,
        job.work / "images",
    )


def _problem(job: Job, data: TaskData) -> Problem:
    rebalanced = None
    if job.arm == "rebalanced" and job.store is not None:
        key = Store(job.store).fingerprint("rebalanced_dataset")
        rebalanced = _rebalanced(job.store, key, tuple(data.labels), job.settings.size)
    return Problem(
        train=data.splits["train"],
        classes=len(data.labels),
        settings=job.settings,
        validation=data.splits.get("validation"),
        rebalanced=rebalanced,
        oracle=data.splits.get("oracle"),
    )
