"""The stage that measures the effect: a small network trained on the data as it is, with
group-balanced sampling, and on the rebalanced dataset, judged on the held-out test split.

The networks of this module exist only to compare training sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor, nn

from data_contracts import DEBIAS_EFFECT
from data_contracts.debias_effect import ARMS
from heml.bias.coverage import cell_name
from heml.dataset.stored import read_split
from heml.images import decode_image, image_index, iterate_images
from heml.progress import Progress
from heml.settings import EffectSettings
from heml.stage import Outcome, run_stage
from heml.store import Store, fingerprint, write_aside
from heml.workers import seeded, worker_pool

VERSION = 4


@dataclass(frozen=True)
class TrainingSet:
    """What an arm trains on.

    Parameters
    ----------
    images : uint8 array (N, 3, S, S)
    labels : int array (N,)
    weights : float array (N,)
        Sampling weights.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


def measure_effect(
    store: Store,
    label_name: str,
    groups: Sequence[str],
    settings: EffectSettings,
    progress: Progress,
) -> Outcome:
    """Writes `store.debias_effect`: one row per arm and seed.

    Raises
    ------
    ValueError
        If the dataset has no test split.
    """
    key = fingerprint(
        VERSION,
        label_name,
        list(groups),
        settings.model_dump(),
        store.fingerprint("rebalanced_dataset"),
        torch.__version__,
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        rows = _measure(store, label_name, list(groups), settings, progress)
        with write_aside(store.debias_effect) as aside:
            pq.write_table(DEBIAS_EFFECT.table(rows), aside)
        summary = {**_describe(rows), "dataset": store.fingerprint("rebalanced_dataset")}
        progress(f"debias_effect: {summary['words']}")
        return summary, [store.debias_effect]

    return run_stage(store, "debias_effect", key, compute, progress)


def _measure(
    store: Store,
    label_name: str,
    groups: list[str],
    settings: EffectSettings,
    progress: Progress,
) -> list[dict[str, Any]]:
    index = image_index(store, groups)
    test = index[index["split"] == "test"]
    if test.empty:
        raise ValueError(
            "the effect needs a held-out test split and the dataset has none: add rows with split "
            "'test', or set effect.enabled to false"
        )
    values = sorted(index["label"].unique())
    codes = {value: code for code, value in enumerate(values)}
    keys = list(zip(test["label"], *(test[g] for g in groups), strict=True))
    names = sorted(set(keys))
    cells = np.array([names.index(key) for key in keys])
    test_images, test_labels = _real_images(store, "test", codes, settings.size)
    arms = dict(zip(ARMS, _training_sets(store, groups, codes, settings.size), strict=True))

    def run(arm: str, seed: int) -> dict[str, Any]:
        def tell(step: int) -> None:
            progress(f"debias_effect: {arm}, seed {seed}, step {step}/{settings.steps}")

        network = train_classifier(arms[arm], len(values), settings, seed, tell)
        correct = predict(network, test_images) == test_labels
        counts = np.bincount(cells)
        accuracy = np.bincount(cells, correct) / counts
        worst = int(accuracy.argmin())
        return {
            "arm": arm,
            "seed": seed,
            "worst_group_accuracy": float(accuracy[worst]),
            "average_accuracy": float(accuracy.mean()),
            "worst_group": cell_name(label_name, names[worst][0], groups, names[worst][1:]),
            "n_worst_group": int(counts[worst]),
            "n_test": len(test),
            "n_train": len(arms[arm].labels),
        }

    jobs = [(arm, seed) for seed in range(settings.seeds) for arm in ARMS]
    with worker_pool() as pool:
        return list(pool.map(lambda job: run(*job), jobs))


def _training_sets(
    store: Store, groups: list[str], codes: dict[str, int], size: int
) -> Iterator[TrainingSet]:
    """As it is, group-balanced, rebalanced."""
    index = image_index(store, groups)
    train = index[index["split"] == "train"]
    images, labels = _real_images(store, "train", codes, size)
    yield TrainingSet(images, labels, np.ones(len(labels)))
    count = train.groupby(["label", *groups])["image_id"].transform("size")
    yield TrainingSet(images, labels, 1 / count.to_numpy(float))
    label = store.summary("rebalanced_dataset")["label_column"]
    parts, targets, weights = [], [], []
    for batch in read_split(store.rebalanced_dataset, "train", ["image", label, "weight"]):
        for row in batch.to_pylist():
            parts.append(_small(row["image"]["bytes"], size))
            targets.append(codes[row[label]])
            weights.append(row["weight"])
    yield TrainingSet(np.stack(parts), np.array(targets), np.array(weights))


def _real_images(
    store: Store, split: str, codes: dict[str, int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for batch in iterate_images(store, ["image", "split", "label"]):
        for row in batch.to_pylist():
            if row["split"] == split:
                images.append(_small(row["image"]["bytes"], size))
                labels.append(codes[row["label"]])
    return np.stack(images), np.array(labels)


def _small(data: bytes, size: int) -> np.ndarray:
    image = Image.fromarray(decode_image(data)).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image).transpose(2, 0, 1)


def _network(classes: int) -> nn.Sequential:
    """A plain convolutional network that sees small cues: it pools only after convolving."""
    layers: list[nn.Module] = []
    before = 3
    for after, kernel, stride in ((16, 5, 2), (32, 3, 1), (64, 3, 1), (96, 3, 1)):
        layers += [
            nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        ]
        if stride == 1:
            layers.append(nn.MaxPool2d(2))
        before = after
    cells = 4
    head = nn.Linear(before * cells**2, classes)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(cells), nn.Flatten(), head)


def _scaled(images: np.ndarray) -> Tensor:
    batch = (torch.from_numpy(images).float() - 127.5) / 64
    return batch.contiguous(memory_format=torch.channels_last)


def train_classifier(
    data: TrainingSet,
    classes: int,
    settings: EffectSettings,
    seed: int,
    on_step: Callable[[int], None],
) -> nn.Module:
    """Trains a small network with mirrored and shifted images, sampled by weight.

    Every arm takes the same number of steps, so that a larger training set is no longer training.
    """
    rng = np.random.default_rng(seed)
    with seeded(seed):
        network = _network(classes)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-3, total_steps=settings.steps
    )
    share = data.weights / data.weights.sum()
    reach = max(settings.size // 16, 1)
    network.train()
    for step in range(1, settings.steps + 1):
        rows = rng.choice(len(share), settings.batch_size, p=share)
        images = _scaled(data.images[rows])
        flips = torch.from_numpy(rng.random(len(rows)) < 0.5)
        images = torch.where(flips[:, None, None, None], images.flip(-1), images)
        down, right = rng.integers(-reach, reach + 1, size=2)
        images = torch.roll(images, (int(down), int(right)), dims=(-2, -1))
        loss = nn.functional.cross_entropy(network(images), torch.from_numpy(data.labels[rows]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(settings.steps // 4, 1) == 0:
            on_step(step)
    return network.eval()


@torch.inference_mode()
def predict(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """Predicted classes, int array (N,)."""
    parts = [
        network(_scaled(images[i : i + 256])).argmax(1).numpy() for i in range(0, len(images), 256)
    ]
    return np.concatenate(parts)


def _describe(rows: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"n_test": rows[0]["n_test"]}
    for arm in ARMS:
        for measure in ("worst_group_accuracy", "average_accuracy"):
            values = [row[measure] for row in rows if row["arm"] == arm]
            summary[f"{arm}_{measure}"] = float(np.mean(values))
    summary["words"] = "worst-group accuracy " + ", ".join(
        f"{arm} {summary[f'{arm}_worst_group_accuracy']:.2f}" for arm in ARMS
    )
    return summary
