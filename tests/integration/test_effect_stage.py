"""The stage `debias_effect` on small stores: what it measures, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import heml.effect.training_images
from data_contracts import DEBIAS_EFFECT, ContractError
from heml.compute.progress import silent
from heml.effect.effect_settings import EffectSettings
from heml.effect.effect_stage import measure_effect
from heml.images.images_table import decode_image, image_index, iterate_images
from heml.segmentation.segmenters.annotated import AnnotatedSegmentation
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.run_context import RunContext
from heml.storage.store import Store
from heml.storage.table_check import check_table
from heml.taxonomy import builtin
from pipelines.checks.effect_check import check_effect
from pipelines.checks.limits import OverLimit

TAXONOMY = builtin("portraits")
LABEL, ATTRIBUTES = "mouth", ["hair_tone"]
SETTINGS = EffectSettings(seeds=2, size=16, steps=4, batch_size=8)


def made(folder: Path, **source: float) -> Store:
    """A store with a rebalanced dataset to which one image was added."""
    store = Store(folder)
    settings = PortraitsSource(kind="portraits", count=40, size=32, **source)
    ingest(store, settings, folder, TAXONOMY, True, silent)
    segment(RunContext(store, TAXONOMY), AnnotatedSegmentation())
    _write_train(store)
    return store


def _write_train(store: Store) -> None:
    """What the effect reads of a rebalanced dataset: the train rows, one of them recombined."""
    rows = [
        {"image_id": row["image_id"], "image": row["image"], "mouth": row["label"], "weight": 1.0}
        for batch in iterate_images(store, ["image_id", "image", "split", "label"])
        for row in batch.to_pylist()
        if row["split"] == "train"
    ]
    rows = [{**row, "origin": "real"} for row in rows]
    rows.append({**rows[0], "image_id": "recombined-000000", "origin": "recombined"})
    data = store.rebalanced_dataset / "data"
    data.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), data / "train-00000-of-00001.parquet")
    store.finish("rebalanced_dataset", "none", {"label_column": "mouth"}, [])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return made(tmp_path_factory.mktemp("effect"), test_share=0.4)


def test_arms_of_the_recipe_are_measured_beside_the_usual_ones(store):
    settings = SETTINGS.model_copy(update={"arms": ["random_paste", "subg"]})
    summary = measure_effect(
        RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), LABEL, settings
    ).summary
    assert check_table([store.debias_effect], DEBIAS_EFFECT) == 10
    effect = pd.read_parquet(store.debias_effect)
    arms = ["erm", "group_balanced", "subg", "random_paste", "rebalanced"]
    assert effect["arm"].unique().tolist() == arms
    assert [summary[f"{arm}_worst_group_accuracy"] for arm in arms] == pytest.approx(
        effect.groupby("arm", sort=False)["worst_group_accuracy"].mean().tolist()
    )
    assert (effect["n_test"] == 16).all()
    assert (effect["note"] == "").all()
    for measure, mean in (("worst_group", "worst_group_accuracy"), ("average", "average_accuracy")):
        means = effect.groupby("arm")[mean].transform("mean")
        assert (effect[f"{measure}_low"] <= means + 1e-12).all()
        assert (effect[f"{measure}_high"] >= means - 1e-12).all()
        assert (effect[f"{measure}_high"] > effect[f"{measure}_low"]).all()


def test_the_same_again_is_kept_and_every_image_is_decoded_once(store, monkeypatch):
    calls = []
    monkeypatch.setattr(
        heml.effect.training_images,
        "decode_image",
        lambda data: calls.append(data) or decode_image(data),
    )
    settings = SETTINGS.model_copy(update={"seeds": 1})
    assert not measure_effect(
        RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), LABEL, settings
    ).reused
    assert len(calls) == len(image_index(store, [])) + 1 == 41, "the recombined one too"
    first = store.debias_effect.read_bytes()
    assert measure_effect(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), LABEL, settings).reused
    store.debias_effect.unlink()
    measure_effect(RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), LABEL, settings)
    assert store.debias_effect.read_bytes() == first


def test_without_a_test_split_the_stage_says_so(tmp_path):
    store = made(tmp_path, test_share=0.001)
    summary = measure_effect(
        RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), LABEL, SETTINGS
    ).summary
    assert "no image is in split 'test'" in summary["not_measured"]
    assert check_table([store.debias_effect], DEBIAS_EFFECT) == 0
    with pytest.raises(ContractError, match="effect is not known: no image is in split 'test'"):
        check_effect(store)


def test_a_group_without_test_images_is_named_not_counted(tmp_path):
    store = made(tmp_path, test_share=0.05, association=0.5)
    assert (image_index(store, [])["split"] == "test").sum() == 2
    summary = measure_effect(
        RunContext(store, TAXONOMY, tuple(ATTRIBUTES)), LABEL, SETTINGS
    ).summary
    effect = pd.read_parquet(store.debias_effect)
    tested = set(effect["worst_group"])
    named = effect["note"].iloc[0].removeprefix("no test image of ").split("; ")
    assert len(named) >= 2
    assert not tested & set(named)
    assert effect.notna().all().all()
    assert summary["words"].endswith(effect["note"].iloc[0])


def rows(store: Store, before: float, after: float) -> None:
    row = {
        "seed": 0, "average_accuracy": 0.7, "worst_group": "x", "n_worst_group": 9, "n_test": 9,
        "n_train": 9, "average_low": 0.6, "average_high": 0.8, "note": "",
    }  # fmt: skip
    arms = {"erm": before, "rebalanced": after}
    table = DEBIAS_EFFECT.table(
        [
            {
                **row,
                "arm": arm,
                "worst_group_accuracy": value,
                "worst_group_low": value - 0.1,
                "worst_group_high": value + 0.1,
            }
            for arm, value in arms.items()
        ]
    )
    pq.write_table(table, store.debias_effect)


def test_a_lower_worst_group_is_warned_of_beyond_chance(tmp_path):
    store = Store(tmp_path)
    rows(store, 0.3, 0.6)
    assert check_effect(store)["worst_group_accuracy_gain"] == pytest.approx(0.3)
    rows(store, 0.3, 0.25)
    assert check_effect(store)["worst_group_accuracy_gain"] == pytest.approx(-0.05)
    rows(store, 0.3, 0.15)
    with pytest.raises(OverLimit, match=r"worst group accuracy fell from 0.300 \(0.200 to") as told:
        check_effect(store)
    assert not told.value.severe
    rows(store, 0.6, 0.3)
    with pytest.raises(OverLimit) as stopped:
        check_effect(store)
    assert stopped.value.severe
