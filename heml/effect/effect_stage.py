"""The stage that measures the effect: a small network trained on the data as it is, with
group-balanced sampling, and on the rebalanced dataset, judged on the held-out test split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from data_contracts import DEBIAS_EFFECT
from heml.compute.device import choose_device, stream, threads_on
from heml.compute.threads import worker_pool
from heml.effect.accuracy import group_accuracy
from heml.effect.arm import ARMS
from heml.effect.effect_settings import EffectSettings
from heml.effect.intervals import Trial, bootstrap, interval
from heml.effect.probe_network import predict
from heml.effect.problem import Problem, TrainingSet
from heml.effect.segment_maps import segment_ids
from heml.effect.training_images import Group, decode_resized, group_codes, read_rebalanced
from heml.images.groups import group_name, known_attributes
from heml.images.images_table import image_index, iterate_images
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage
from heml.storage.store import Store

VERSION = 7


def measure_effect(run: RunContext, label_name: str, settings: EffectSettings) -> Outcome:
    """Writes `store.debias_effect`: one row per arm and seed.

    Without a test split the table is empty, and the summary's `not_measured` says why.
    """
    store, attributes = run.store, list(run.attributes)
    key = fingerprint(
        VERSION,
        label_name,
        attributes,
        settings.model_dump(exclude={"device"}),
        store.fingerprint("rebalanced_dataset"),
        torch.__version__,
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        index = image_index(store, attributes)
        reason = _why_not(index, attributes)
        rows = [] if reason else _measure(run, index, label_name, settings)
        with write_aside(store.debias_effect) as aside:
            pq.write_table(DEBIAS_EFFECT.table(rows), aside)
        summary = _describe(rows, settings) if rows else _unmeasured(reason)
        summary["dataset"] = store.fingerprint("rebalanced_dataset")
        run.progress(f"debias_effect: {summary['words']}")
        return summary, [store.debias_effect]

    return run_stage(store, "debias_effect", key, compute, run.progress)


def _why_not(index: pd.DataFrame, attributes: Sequence[str]) -> str:
    """Why the effect cannot be measured; empty if it can."""
    test = index[index["split"] == "test"]
    if test.empty:
        return "no image is in split 'test': give some, balanced over label and attribute"
    if not known_attributes(test, list(attributes)).any():
        return f"no test image has a value of {', '.join(attributes)}: their groups are not known"
    return ""


def _unmeasured(reason: str) -> dict[str, Any]:
    return {"not_measured": reason, "n_test": 0, "words": f"not measured: {reason}"}


def _measure(
    run: RunContext, index: pd.DataFrame, label_name: str, settings: EffectSettings
) -> list[dict[str, Any]]:
    attributes = list(run.attributes)
    codes = {value: code for code, value in enumerate(sorted(index["label"].unique()))}
    known = known_attributes(index, attributes)
    keys = list(index[["label", *attributes]].itertuples(index=False, name=None))
    names = sorted({k for k, t in zip(keys, known & (index["split"] == "test"), strict=True) if t})
    # Test groups get the first numbers; groups that only train has come after them.
    others = sorted({k for k, t in zip(keys, known, strict=True) if t} - set(names))
    numbers: dict[Group, int] = {k: n for n, k in enumerate([*names, *others])}
    index = index.assign(group=group_codes(keys, numbers), code=index["label"].map(codes))
    problem, test, test_ids = _read(run.store, index, codes, settings)
    words = {n: group_name(label_name, k[0], attributes, k[1:]) for k, n in numbers.items()}
    in_train = sorted(set(problem.train.groups) - set(test.groups) - {-1})
    untested = "; ".join(words[group] for group in in_train)
    note = f"no test image of {untested}" if untested else ""
    arms = [*settings.all_arms]

    def train(arm: str, seed: int) -> tuple[np.ndarray, int]:
        def tell(step: int) -> None:
            run.progress(f"debias_effect: {arm}, seed {seed}, step {step}/{settings.steps}")

        with stream(device):
            trained = ARMS[arm].train(problem, seed, tell)
            return predict(trained.network, test.images) == test.labels, trained.n_train

    jobs = [(arm, seed) for seed in range(settings.seeds) for arm in arms]
    device = choose_device(settings.device)
    with worker_pool(threads_on(device)) as pool:
        results = dict(zip(jobs, pool.map(lambda job: train(*job), jobs), strict=True))
    correct = {
        arm: np.stack([results[arm, seed][0] for seed in range(settings.seeds)]) for arm in arms
    }
    drawn = bootstrap([Trial(test_ids, test.groups, correct)])
    rows = []
    for seed in range(settings.seeds):
        for arm in arms:
            accuracy = group_accuracy(correct[arm][seed], test.groups)
            worst = interval(drawn[arm].worst, drawn[arm].worst_draws)
            average = interval(drawn[arm].average, drawn[arm].average_draws)
            rows.append(
                {
                    "arm": arm,
                    "seed": seed,
                    "worst_group_accuracy": accuracy.worst_group,
                    "average_accuracy": accuracy.average,
                    "worst_group": words[accuracy.worst],
                    "n_worst_group": int(accuracy.counts[accuracy.worst]),
                    "n_test": len(test),
                    "n_train": results[arm, seed][1],
                    "worst_group_low": worst.low,
                    "worst_group_high": worst.high,
                    "average_low": average.low,
                    "average_high": average.high,
                    "note": note,
                }
            )
    return rows


def _read(
    store: Store, index: pd.DataFrame, codes: Mapping[str, int], settings: EffectSettings
) -> tuple[Problem, TrainingSet, list[str]]:
    """The problem, and the test images of known groups with their ids: every image is read once."""
    test_ids = index.loc[(index["split"] == "test") & (index["group"] >= 0), "image_id"].tolist()
    pixels: dict[str, np.ndarray] = {}
    for batch in iterate_images(store, ["image_id", "image"]):
        for row in batch.to_pylist():
            pixels[row["image_id"]] = decode_resized(row["image"]["bytes"], settings.size)

    def gathered(rows: pd.DataFrame, segments: np.ndarray | None = None) -> TrainingSet:
        return TrainingSet(
            np.stack([pixels[image_id] for image_id in rows["image_id"]]),
            rows["code"].to_numpy(int),
            rows["group"].to_numpy(int),
            np.ones(len(rows)),
            segments,
        )

    train = index[index["split"] == "train"]
    validation = index[index["split"] == "validation"]
    pasted = any(ARMS[arm].needs_segments for arm in settings.all_arms)
    segments = segment_ids(store, train["image_id"].tolist(), settings.size) if pasted else None
    label = store.summary("rebalanced_dataset")["label_column"]
    rebalanced, _ = read_rebalanced(
        store.rebalanced_dataset, label, codes, settings.size, known=pixels
    )
    problem = Problem(
        train=gathered(train, segments),
        classes=len(codes),
        settings=settings,
        validation=None if validation.empty else gathered(validation),
        rebalanced=rebalanced,
    )
    test = gathered(index[index["image_id"].isin(test_ids)])
    return problem, test, test_ids


def _describe(rows: list[dict[str, Any]], settings: EffectSettings) -> dict[str, Any]:
    summary: dict[str, Any] = {"n_test": rows[0]["n_test"]}
    for arm in settings.all_arms:
        for measure in ("worst_group_accuracy", "average_accuracy"):
            values = [row[measure] for row in rows if row["arm"] == arm]
            summary[f"{arm}_{measure}"] = float(np.mean(values))
    summary["words"] = "worst-group accuracy " + ", ".join(
        f"{arm} {summary[f'{arm}_worst_group_accuracy']:.2f}" for arm in settings.all_arms
    )
    if note := rows[0]["note"]:
        summary["words"] += f"; {note}"
    return summary
