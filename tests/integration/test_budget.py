"""Budgets: what warns, what stops the run, and scores kept over measurements."""

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from data_contracts import BIAS_HISTORY, BIAS_SCORES
from heml.bias.history import read_history, remember_scores, score_changes, scores_over_measurements
from heml.storage.atomic_write import write_aside
from pipelines.assets.bias_scores import scores_over_time
from pipelines.assets.metadata import summary_metadata
from pipelines.build import build_defs
from pipelines.checks.budget_check import check_bias_budget, check_bias_rise, check_quarantined
from pipelines.checks.limits import OverLimit
from pipelines.recipe.operation_settings import BudgetSettings


def scores_of(found):
    """A table of scores from (node, attribute) → score; intervals are 0.1 to each side."""
    rows = []
    for (node, attribute), score in found.items():
        row = dict.fromkeys(
            [c.name for c in BIAS_SCORES.columns if c.name not in ("node", "attribute")], 0.5
        )
        low, high = score - 0.1, score + 0.1
        row |= {
            **{
                "node": node,
                "attribute": attribute,
                "attributes": [attribute],
                "kind": "leaf",
                "note": "too few",
            },
            **{"n": 700, "n_conflicting": 20, "n_missing": 0, "flagged": False},
            **{"score": score, "score_low": max(low, 0), "score_high": min(high, 1)},
        }
        rows.append(row)
    frame = pd.DataFrame(rows)
    frame["rank"] = frame.groupby("attribute")["score"].rank(ascending=False, method="first")
    frame["rank"] = frame["rank"].fillna(len(frame)).astype("int32")
    return frame


def measure(store, found, images="a", fingerprint=None, label="mouth"):
    frame = scores_of(found)
    with write_aside(store.bias_scores) as aside:
        pq.write_table(BIAS_SCORES.table(frame), aside)
    remember_scores(store, frame, label, images, fingerprint or repr(found))
    return store


HAIR, NOSE = ("hair", "tone"), ("nose", "tone")


def budget(**content):
    return BudgetSettings.model_validate(content)


def test_highest_leaf_is_compared_with_the_budget(store):
    measure(store, {HAIR: 0.5, NOSE: 0.1})
    limits = {"warn": 0.3, "error": 0.6}
    with pytest.raises(OverLimit) as warned:
        check_bias_budget(store, budget(score=limits))
    assert not warned.value.severe
    assert "hair encodes tone and relies on it with score 0.50" in str(warned.value)
    assert "0.40 to 0.60, n = 700, 20 conflicting), above the budget of 0.3" in str(warned.value)
    assert "\n" not in str(warned.value)
    measure(store, {HAIR: 0.7, NOSE: 0.1})
    with pytest.raises(OverLimit, match=r"above the budget of 0\.6") as refused:
        check_bias_budget(store, budget(score=limits))
    assert refused.value.severe
    measure(store, {HAIR: 0.3, NOSE: 0.1})
    assert check_bias_budget(store, budget(score=limits)) == {"score tone": 0.3}


def test_attribute_may_have_limits_of_its_own(store):
    measure(store, {HAIR: 0.5, ("hair", "sex"): 0.4, ("hair", "tone × sex"): 0.9})
    own = budget(score={"error": 0.3}, attributes={"tone": {"warn": 0.8}, "sex": {"warn": 0.1}})
    with pytest.raises(OverLimit, match="sex") as warned:
        check_bias_budget(store, own)
    assert not warned.value.severe
    assert "tone" not in str(warned.value)
    together = budget(attributes={"tone × sex": {"error": 0.8}})
    with pytest.raises(OverLimit, match="tone × sex") as refused:
        check_bias_budget(store, together)
    assert refused.value.severe


def test_attribute_that_cannot_be_scored_warns(store):
    measure(store, {HAIR: np.nan})
    with pytest.raises(OverLimit, match="no leaf could be scored for tone: too few") as warned:
        check_bias_budget(store, budget(score={"error": 0.6}))
    assert not warned.value.severe


def test_first_measurement_has_nothing_to_compare_with(store):
    measure(store, {HAIR: 0.9})
    assert check_bias_rise(store, budget().rise) == {"compared": 0}
    assert score_changes(read_history(store)).empty


def test_rise_beyond_both_intervals_warns_without_a_budget(store):
    measure(store, {HAIR: 0.2, NOSE: 0.1}, images="a")
    measure(store, {HAIR: 0.35, NOSE: 0.1}, images="b")
    assert check_bias_rise(store, budget().rise)["largest_rise"] == pytest.approx(0.15)
    measure(store, {HAIR: 0.7, NOSE: 0.1}, images="c")
    with pytest.raises(OverLimit, match=r"hair's score for tone rose from 0\.35") as warned:
        check_bias_rise(store, budget().rise)
    assert "the images have changed since" in str(warned.value)
    assert not warned.value.severe


def test_rise_is_compared_with_the_budget(store):
    measure(store, {HAIR: 0.2})
    measure(store, {HAIR: 0.35})
    with pytest.raises(OverLimit) as refused:
        check_bias_rise(store, budget(rise={"warn": 0.05, "error": 0.1}).rise)
    assert refused.value.severe
    assert check_bias_rise(store, budget(rise={"warn": 0.2}).rise)["compared"] == 1


def test_fall_is_no_rise(store):
    measure(store, {HAIR: 0.9})
    measure(store, {HAIR: 0.1})
    assert check_bias_rise(store, budget().rise)["largest_rise"] == pytest.approx(-0.8)


def test_history_keeps_every_measurement_and_counts_them(store):
    for number, score in enumerate((0.2, 0.4, 0.6)):
        measure(store, {HAIR: score}, images=str(number))
    history = read_history(store)
    BIAS_HISTORY.validate(history)
    assert history["measurement"].tolist() == [1, 2, 3]
    assert history["score"].tolist() == [0.2, 0.4, 0.6]
    assert scores_over_measurements(history, most=2) == [
        {"node": "hair", "attribute": "tone", "#2": 0.4, "#3": 0.6}
    ]


def test_every_score_is_a_number_of_the_materialization(store):
    assert scores_over_time(store) == {}
    measure(store, {HAIR: 0.2, NOSE: np.nan}, images="a")
    measure(store, {HAIR: 0.5, NOSE: 0.1}, images="b")
    shown = scores_over_time(store)
    assert (shown["score hair × tone"], shown["score nose × tone"]) == (0.5, 0.1)
    assert shown["measurement"] == 2
    assert shown["largest_rise"] == pytest.approx(0.3)
    plotted = summary_metadata(shown)
    assert isinstance(plotted["score hair × tone"], dg.FloatMetadataValue)
    assert "| hair | tone | 0.2 | 0.5 |" in plotted["scores_over_measurements"].value


def test_measuring_the_same_again_adds_nothing(store):
    measure(store, {HAIR: 0.2}, fingerprint="one")
    measure(store, {HAIR: 0.4}, fingerprint="two")
    once = store.bias_history.read_bytes()
    measure(store, {HAIR: 0.4}, fingerprint="two")
    assert store.bias_history.read_bytes() == once


def test_scores_of_another_label_are_not_compared(store):
    measure(store, {HAIR: 0.1}, label="mouth")
    measure(store, {HAIR: 0.9}, label="eyes")
    assert check_bias_rise(store, budget().rise) == {"compared": 0}


def test_unreadable_history_is_kept_aside_and_begun_anew(store):
    store.root.mkdir(parents=True)
    store.bias_history.write_bytes(b"no table")
    note = remember_scores(store, scores_of({HAIR: 0.2}), "mouth", "a", "one")
    assert "cannot be read" in note
    assert read_history(store)["measurement"].tolist() == [1]
    assert (store.root / "bias_history.unreadable.parquet").read_bytes() == b"no table"


def test_quarantined_share_names_the_reasons(store):
    summary = {"accepted": 90, "quarantined": 10, "reasons": {"missing_file": 7, "not_an_image": 3}}
    store.finish("images", "a", summary, [])
    assert check_quarantined(store, budget(quarantined={"warn": 0.1}).quarantined)["share"] == 0.1
    with pytest.raises(OverLimit, match=r"missing_file \(7\), not_an_image \(3\)") as warned:
        check_quarantined(store, budget(quarantined={"warn": 0.05, "error": 0.2}).quarantined)
    assert not warned.value.severe


@pytest.mark.parametrize(
    ("score", "severity", "goes_on"), [(0.5, "WARN", True), (0.7, "ERROR", False)]
)
def test_error_level_stops_what_follows_and_warning_level_does_not(
    tmp_path, store, score, severity, goes_on
):
    path = tmp_path / "test.yaml"
    path.write_text(
        "name: test\nsource: {kind: portraits}\nbudget: {score: {warn: 0.3, error: 0.6}}\n"
    )
    defs = build_defs(recipe_files=[path], store_root=store.root.parent)
    measure(store, {HAIR: score})
    key = dg.AssetKey(["test", "bias_scores"])
    spec = dg.AssetCheckKey(key, "bias_budget")

    @dg.multi_asset(specs=[dg.AssetSpec(key)])
    def scores():
        return dg.MaterializeResult(asset_key=key)

    @dg.asset(deps=[key])
    def after():
        pass

    checks = [d for d in defs.asset_checks if spec in d.check_keys]
    result = dg.materialize(
        [scores, after, *checks],
        selection=dg.AssetSelection.assets(key, "after").without_checks()
        | dg.AssetSelection.checks(spec),
        resources=defs.resources,
        raise_on_error=False,
    )
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.severity.value) == (False, severity)
    assert "score 0." in evaluation.description
    assert evaluation.metadata["score tone"].value == score
    assert bool(result.asset_materializations_for_node("after")) == goes_on
    assert result.success == goes_on
