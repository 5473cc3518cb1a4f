"""The metric tree against one metric on whole images: accuracy, time and memory.

    python -m benchmarks.metric_tree --celebamask DIR --ccp DIR --seeds 0 1 2 --out FILE.md

Every part keeps its figures as JSON under `--work`; a run that was stopped goes on, and `--parts`
runs some of them. `--quick` trains one epoch on one seed: it shows that everything runs, and its
figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import scoring, tables
from benchmarks.baseline_whole_image import train_baseline
from benchmarks.clock import busy_seconds, clock, peak_tensor_bytes
from benchmarks.level_memory import level_memory
from benchmarks.snr_speed import snr_speed
from benchmarks.tasks import (
    Task,
    prepared,
    records,
    train_final_networks,
    train_tree,
    write_missing_views,
)
from heml.compute.device import choose_device
from heml.compute.threads import processors
from heml.metrics import identity
from heml.metrics.artifacts import load_node
from heml.metrics.distance import DISTANCES
from heml.metrics.level import train_level, train_levels
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import balanced_batches
from heml.metrics.node_distances import node_distances
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.taxonomy import Taxonomy
from heml.tree import tree_stage as fit_module
from heml.tree.metric_tree import Embedded, MetricTree
from heml.tree.tree_stage import fit_tree

PARTS = ("accuracy", "time", "device", "memory", "snr", "losses", "warm")
#: Sides of the baseline's input in pixels; the first is what ratios refer to.
BASELINE_SIZES = (224, 128)
#: Nodes on which losses and distances are compared: what tells the label, what carries the
#: attribute, and the whole image, with all that lies between.
COMPARED = {
    "celebamask": ["mouth", "lower_face", "hair", "background"],
    "ccp": ["lower_clothes", "legwear", "shoes", "background"],
}
LOSSES = (
    "triplet",
    "contrastive",
    "snr_contrastive",
    "n_pairs",
    "lifted_structure",
    "multi_similarity",
    "proxy_anchor",
)


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark.

    Parameters
    ----------
    work : pathlib.Path
        Stores and figures are kept here.
    sets : dict
        Name of a dataset → its folder.
    seeds : list of int
    quick : bool
    device : str
        `cpu`, `cuda` or `mps`.
    """

    work: Path
    sets: dict[str, Path]
    seeds: list[int]
    quick: bool
    device: str = "cpu"

    def settings(self, seed: int, **changes: Any) -> MetricSettings:
        content = {"seed": seed, "device": self.device, **({"epochs": 1} if self.quick else {})}
        return MetricSettings.model_validate({**content, **changes})

    def task(self, name: str, seed: int) -> Task:
        label, attribute = {
            "celebamask": ("mouth", "hair_tone"),
            "ccp": ("lower_body", "background"),
        }[name]
        taxonomy = {"celebamask": "celebamask_hq", "ccp": "ccp"}[name]
        metadata = f"tasks/{label}-{attribute}-{seed}.csv"
        return Task(name, self.sets[name], metadata, label, attribute, taxonomy)

    def store(self, name: str, seed: int, use: str = "") -> tuple[Store, Task]:
        task = self.task(name, seed)
        return prepared(task, self.work / "stores" / f"{name}-{seed}{use}", say), task

    def kept(
        self, part: str, compute: Callable[[], dict[str, Any]], *rests_on: object
    ) -> dict[str, Any]:
        """A part's figures, computed unless they are there; on what else they rest may be said."""
        versions = identity.VERSION, torch.__version__
        key = fingerprint(*versions, self.quick, self.device, *rests_on)
        path = self.work / "figures" / f"{part}-{key}.json"
        if path.exists():
            say(f"{part}: kept")
            return dict(json.loads(path.read_text()))
        say(f"{part}: started")
        with clock() as took:
            figures = compute()
        figures["part_wall_s"] = took.wall
        with write_aside(path) as aside:
            aside.write_text(json.dumps(figures, indent=1))
        say(f"{part}: done in {took.wall:.0f} s")
        return figures


def say(line: str) -> None:
    print(line, flush=True)


def accuracy_of_tree(bench: Bench, name: str, seed: int) -> dict[str, Any]:
    """Trains the whole tree and scores each node and both similarities on the test split."""
    store, task = bench.store(name, seed)
    settings = bench.settings(seed)
    context = RunContext(store, task.tree, (task.attribute,), say)
    for _ in train_levels(context, settings):
        pass
    fit_tree(context, settings)
    tree = MetricTree.load(store.metric_tree)
    known = records(store, task)
    metrics = {node: load_node(store, node) for node in task.tree.nodes}
    everything = Embedded(
        {n: m.embeddings for n, m in metrics.items()}, {n: m.present for n, m in metrics.items()}
    )
    queries, references = everything.rows(known.test), everything.rows(known.train)
    rows: dict[str, Any] = {}
    for node in task.tree.nodes:
        distances = tree.node_distances(node, queries, references).total()
        rows[node] = _scores(distances, known, settings.neighbors)
        rows[node] |= {"state": metrics[node].report["state"]}
    for which in ("plain", "debiased"):
        distances = tree.total_distances(queries, references, which)
        rows[f"{which} similarity"] = _scores(distances, known, settings.neighbors)
    return {"rows": rows}


def accuracy_of_baseline(bench: Bench, name: str, seed: int, size: int) -> dict[str, Any]:
    """Trains the baseline and scores it as the tree is scored."""
    store, task = bench.store(name, seed)
    known, settings = records(store, task), bench.settings(seed)
    trained = train_baseline(
        store, size, known.labels, known.groups, known.train, known.test, settings
    )
    scores = _scores(trained.distances, known, settings.neighbors)
    return {**scores, "best_epoch": trained.best_epoch, **trained.seconds}


def _scores(distances: np.ndarray, known: Any, k: int) -> dict[str, Any]:
    labels, asked = known.labels[known.train], known.labels[known.test]
    groups = [known.groups[row] for row in known.test]
    return {
        **scoring.ranking(distances, asked, labels),
        **scoring.accuracy(distances, asked, labels, groups, k),
    }


def times(bench: Bench, name: str, seed: int) -> dict[str, Any]:
    """Time of the tree without and with cross-fitting and of the baseline, one after the other.

    All of them anew, so that the accuracy can be measured where other work runs, and the time
    where none does.
    """
    store, task = bench.store(name, seed, "-time")
    known, settings = records(store, task), bench.settings(seed)
    views = bench.work / "views" / f"{name}-{seed}-time"
    for folder in (views, store.root / "metric"):
        shutil.rmtree(folder, ignore_errors=True)
    _, alone = train_final_networks(store, task, settings, task.tree.nodes, views)
    shutil.rmtree(views)
    folds = train_tree(store, task, settings, say)
    baseline = train_baseline(
        store, BASELINE_SIZES[0], known.labels, known.groups, known.train, known.test, settings
    )
    return {"alone": alone.as_dict(), "folds": folds.as_dict(), "baseline": baseline.seconds}


def device_use(bench: Bench, name: str, seed: int) -> dict[str, Any]:
    """Images per second of the lowest level, peak memory, and how busy it keeps the device."""
    store, task = bench.store(name, seed, "-device")
    settings = bench.settings(seed, epochs=1 if bench.quick else 5)
    device, leaves = choose_device(bench.device), task.tree.levels[0]
    shutil.rmtree(store.root / "metric", ignore_errors=True)
    wall = 0.0

    def train() -> None:
        nonlocal wall
        with clock() as took:
            context = RunContext(store, task.tree, (task.attribute,), say)
            for _ in train_level(context, leaves, settings):
                pass
        wall = took.wall

    peak = 0
    if device.type == "cuda":
        peak = peak_tensor_bytes(train, device)
        shutil.rmtree(store.root / "metric")
    busy = busy_seconds(train, device)
    rng, images = np.random.default_rng(0), 0
    labels = records(store, task).labels
    for node in leaves:
        metric = load_node(store, node)
        train_rows = (metric.index["split"] == "train").to_numpy() & metric.present
        for left_out in range(-1, settings.folds if metric.trained else -1):
            rows = labels[train_rows & ((metric.fold != left_out) | (left_out < 0))]
            batches = balanced_batches(rows, settings.batch_size, rng)
            images += settings.epochs * sum(len(batch) for batch in batches)
    processors_used = 1 if device.type == "cuda" else processors()
    return {
        "images": images,
        "wall_s": wall,
        "images_per_s": images / wall,
        "peak_bytes": peak,
        "busy": busy / wall / processors_used,
    }


def compare(bench: Bench, name: str, seed: int, nodes: list[str], **changes: Any) -> dict[str, Any]:
    """Scores some nodes' final networks on the test split, trained in a given way."""
    store, task = bench.store(name, seed)
    known, settings = records(store, task), bench.settings(seed, **changes)
    views = bench.work / "views" / f"{name}-{seed}"
    write_missing_views(store, task, settings, nodes, views)
    found, took = train_final_networks(store, task, settings, nodes, views)
    rows = {}
    for node, embeddings in found.items():
        present = embeddings.any(axis=1)
        distances = node_distances(
            DISTANCES[settings.distance],
            embeddings[known.test],
            embeddings[known.train],
            present[known.test],
            present[known.train],
        ).total()
        rows[node] = _scores(distances, known, settings.neighbors)
    return {"rows": rows, **took.as_dict()}


def compared_nodes(name: str, tree: Taxonomy) -> list[str]:
    """Some leaves, the branches that hold only such, and the root."""
    leaves = set(COMPARED[name])
    return [
        node
        for node in tree.nodes
        if node in leaves or set(tree.leaves_of(node)) <= leaves or node == tree.root
    ]


def run(bench: Bench, parts: list[str]) -> Iterator[str]:
    """Sections of the result, as Markdown."""
    first = bench.seeds[0]
    if "accuracy" in parts:
        trees, baselines = {}, {}
        for name in bench.sets:
            for seed in bench.seeds:
                trees[name, seed] = bench.kept(
                    f"tree-{name}-{seed}",
                    lambda n=name, s=seed: accuracy_of_tree(bench, n, s),
                    fit_module.VERSION,
                )
                for size in BASELINE_SIZES:
                    baselines[name, seed, size] = bench.kept(
                        f"baseline{size}-{name}-{seed}",
                        lambda n=name, s=seed, p=size: accuracy_of_baseline(bench, n, s, p),
                    )
        for name in bench.sets:
            nodes = bench.task(name, first).tree.nodes
            yield tables.accuracy(name, nodes, bench.seeds, trees, baselines)
    if "time" in parts:
        measured = {
            name: bench.kept(f"time-{name}-{first}", lambda n=name: times(bench, n, first))
            for name in bench.sets
        }
        yield tables.time(measured, first, BASELINE_SIZES[0])
    if "device" in parts:
        used = {
            name: bench.kept(f"device-{name}-{first}", lambda n=name: device_use(bench, n, first))
            for name in bench.sets
        }
        yield tables.device(used)
    if "memory" in parts:
        tree = bench.task(next(iter(bench.sets)), first).tree
        yield tables.memory(
            bench.kept("memory", lambda: level_memory(tree, bench.settings(first), BASELINE_SIZES))
        )
    if "snr" in parts:
        sizes = (256, 32) if bench.quick else (2048, 128)
        yield tables.snr(bench.kept("snr", lambda: snr_speed(*sizes)))
    name = next(iter(bench.sets))
    tree = bench.task(name, first).tree
    if "losses" in parts:
        ways = {loss: {"loss": loss} for loss in LOSSES}
        ways |= {f"triplet, {d}": {"distance": d} for d in ("cosine", "euclidean")}
        chosen = compared_nodes(name, tree)
        figures = {
            way: bench.kept(
                f"loss-{way.replace(', ', '-')}-{name}-{first}",
                lambda c=changes: compare(bench, name, first, chosen, **c),
            )
            for way, changes in ways.items()
        }
        yield tables.comparison(f"Losses and distances ({name}, seed {first})", chosen, figures)
    if "warm" in parts:
        branches = [node for node in tree.nodes if tree.children(node)]
        figures = {
            way: bench.kept(
                f"{way}-{name}-{first}",
                lambda w=way: compare(bench, name, first, list(tree.nodes), warm_start=w == "warm"),
            )
            for way in ("warm", "cold")
        }
        yield tables.comparison(f"Warm and cold start ({name}, seed {first})", branches, figures)


def machine(device: str) -> str:
    """What computed, by its kind."""
    name = torch.cuda.get_device_name() if device == "cuda" else device.upper()
    return (
        f"{platform.machine()}, {os.cpu_count()} logical processors, torch {torch.__version__}, "
        f"{name}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--celebamask", type=Path, help="folder of the faces")
    parser.add_argument("--ccp", type=Path, help="folder of the street photos")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="one epoch: does everything run?")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu")
    parser.add_argument("--work", type=Path, help="where stores and figures are kept")
    parser.add_argument("--out", type=Path, help="Markdown file; printed in any case")
    chosen = parser.parse_args()
    sets = {n: getattr(chosen, n) for n in ("celebamask", "ccp") if getattr(chosen, n)}
    if not sets:
        parser.error("give --celebamask or --ccp")
    work = chosen.work or Path(tempfile.gettempdir()) / "heml-benchmarks" / "metric_tree"
    bench = Bench(work, sets, chosen.seeds, chosen.quick, chosen.device)
    title = "# The metric tree against one metric on whole images"
    quick = "\n\n**A quick run: one epoch; the figures mean nothing.**" if chosen.quick else ""
    text = (
        "\n\n".join([f"{title}\n\n{machine(chosen.device)}{quick}", *run(bench, chosen.parts)])
        + "\n"
    )
    say(f"\n{text}")
    if chosen.out:
        with write_aside(chosen.out) as path:
            path.write_text(text)


if __name__ == "__main__":
    main()
