"""Coverage, association, attribute AUC, accuracy gap, score: by hand, planted, and on noise."""

import numpy as np
import pandas as pd
import pytest

from data_contracts import ASSOCIATION, BIAS_MEASURES, BIAS_SCORES, COVERAGE
from heml.bias import tables
from heml.bias.accuracy_gap import AccuracyGap, out_of_fold_votes
from heml.bias.association import association
from heml.bias.attribute_auc import AttributeAuc, weighted_wins
from heml.bias.attributes import contingency, measured_attributes
from heml.bias.bias_score import bias_score
from heml.bias.bias_settings import BiasSettings
from heml.bias.bias_stage import score_node
from heml.bias.coverage import aligned_values, coverage
from heml.bias.fdr import controlled
from heml.bias.node_scores import AttributeScorer, rank_scores
from heml.bias.simulation import expected_auc, simulated_index, simulated_node
from heml.images.groups import MISSING, combined, group_codes, group_name

BIASED = {("a", "x"): 90, ("a", "y"): 10, ("b", "x"): 10, ("b", "y"): 90}
TONE = measured_attributes(["tone"])
QUICK = BiasSettings(resamples=200, permutations=199)


def records(counts) -> pd.DataFrame:
    return simulated_index(counts, ["tone"])


def scored(index, strengths, seed=0, attributes=("tone",), settings=QUICK) -> dict:
    """One node's row, for the last of the measured attributes."""
    node = simulated_node(index, strengths, seed)
    scorer = AttributeScorer(index, measured_attributes(attributes)[-1], node.fold, settings)
    return score_node(node, index, [scorer], 10)[0]


# --- coverage -----------------------------------------------------------------------------------


def test_coverage_by_hand():
    groups = coverage(records(BIASED), "letter", ["tone"]).set_index("group")
    row = groups.loc["letter=a · tone=x"]
    assert (row["n"], row["share"], row["representation_ratio"]) == (90, 0.45, 1.8)
    assert row["representation_ratio_low"] < 1.8 < row["representation_ratio_high"]
    assert row["aligned"]
    assert not groups.loc["letter=a · tone=y", "aligned"]


def test_empty_groups_are_counted():
    groups = coverage(records({("a", "x"): 5, ("b", "y"): 5}), "l", ["tone"])
    assert len(groups) == 4
    assert sorted(groups["n"]) == [0, 0, 5, 5]


def test_groups_of_several_attributes_are_all_combinations():
    train = records(BIASED).assign(hat="none")
    groups = coverage(train, "l", ["tone", "hat"])
    assert list(groups["attributes"].iloc[0]) == ["x", "none"]
    assert group_name("l", "a", ["tone", "hat"], ["x", "none"]) == "l=a · tone=x · hat=none"


def test_without_attributes_the_labels_are_the_groups():
    groups = coverage(records(BIASED), "l", [])
    assert groups["group"].tolist() == ["l=a", "l=b"]
    assert groups["n"].tolist() == [100, 100]


def test_aligned_values():
    train = records(BIASED)
    everything = np.ones(len(train), bool)
    aligned = aligned_values(train["label"], train["tone"], everything)
    assert aligned.sum() == 180
    assert not aligned[(train["label"] == "a") & (train["tone"] == "y")].any()


def test_records_without_a_value_are_in_no_group():
    train = records({**BIASED, ("a", MISSING): 7})
    groups = coverage(train, "l", ["tone"])
    assert len(groups) == 4
    assert groups["n"].sum() == 200
    assert groups["share"].sum() == pytest.approx(1)
    assert not aligned_values(train["label"], train["tone"], np.ones(207, bool))[-7:].any()


def test_attributes_taken_together():
    frame = pd.DataFrame({"tone": ["x", "y", MISSING], "sex": ["f", "m", "f"]})
    names = [attribute.name for attribute in measured_attributes(["tone", "sex", "age"])]
    assert names == ["tone", "sex", "age", "tone × sex", "tone × age", "sex × age",
                     "tone × sex × age"]  # fmt: skip
    assert combined(frame, ["tone", "sex"]).tolist() == ["x × f", "y × m", MISSING]
    codes, words = group_codes(frame, ["sex", "tone"])
    assert [words[code] for code in codes] == ["f · x", "m · y", f"f · {MISSING}"]


# --- association --------------------------------------------------------------------------------


def test_planted_association_comes_back():
    for v in (0.1, 0.4, 0.8):
        same = [(1 + v) / 4, (1 - v) / 4]
        counts = np.random.default_rng(0).multinomial(5000, [same[0], same[1], same[1], same[0]])
        keys = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
        index = records(dict(zip(keys, counts, strict=True)))
        links, measures = association(index, TONE, 200, 199, seed=0)
        assert links["cramers_v"].iloc[0] == pytest.approx(v, abs=0.02)
        npmi = measures.query("measure == 'npmi' and label_value == 'a' and attribute_value == 'x'")
        assert npmi["value"].iloc[0] == pytest.approx(
            np.log(4 * same[0]) / -np.log(same[0]), abs=0.02
        )
        assert npmi["low"].iloc[0] < npmi["value"].iloc[0] < npmi["high"].iloc[0]
        assert npmi["q"].iloc[0] == pytest.approx(0.005)


@pytest.mark.parametrize("labels", [[0.5, 0.5], [0.9, 0.1]])
def test_noise_is_no_association(labels):
    found = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        table = np.zeros((2, 3), int)
        np.add.at(table, (rng.choice(2, 300, p=labels), rng.choice(3, 300, p=[0.6, 0.3, 0.1])), 1)
        null = tables.cramers_v(tables.permuted_tables(table, 199, rng))
        found += tables.p_value(tables.cramers_v(table), null) <= 0.05
    # The chance that 5% tests flag more than 18 of 200 is 0.5%.
    assert found <= 18


def test_measures_keep_their_contract_and_name_every_value():
    train = records(BIASED).assign(sex=["f", "m"] * 100)
    links, measures = association(train, measured_attributes(["tone", "sex"]), 100, 99, seed=0)
    BIAS_MEASURES.table(measures)
    ASSOCIATION.table(links)
    assert measures["value"].notna().all()
    own = measures[measures["attribute"] == "tone"].set_index("measure")
    assert own.loc["tv_equal", "value"] == pytest.approx(0.4)
    assert own.loc["kl_independent", "value"] == pytest.approx(own.loc["kl_equal", "value"])
    assert set(own.loc["label_difference", "value"].round(6)) == {0.8, -0.8}
    assert own.loc["class_imbalance", "value"].tolist() == [0, 0]
    assert (measures["low"] <= measures["value"]).all()
    assert (measures["value"] <= measures["high"]).all()


# --- attribute AUC ------------------------------------------------------------------------------


def test_weighted_wins_by_hand():
    scores = np.array([3.0, 1.0, 2.0, 2.0])
    own = np.array([True, False, False, True])
    won, made = weighted_wins(scores, own, np.array([[1, 1, 1, 1], [2, 0, 3, 1]]))
    # 3 beats 1 and 2; 2 beats 1 and ties with 2. Then twice 3 and once 2 against three times 2.
    assert won.tolist() == [3.5, 7.5]
    assert made.tolist() == [4, 9]


def test_attribute_auc_sees_nothing_across_labels():
    """An embedding that tells the label, which tells the attribute, leaks nothing within a label.
    An embedding that tells the label, which tells the attribute, leaks nothing within a label."""
    rows = [scored(records(BIASED), {"label": 8}, seed) for seed in range(6)]
    assert np.mean([row["attribute_auc"] for row in rows]) == pytest.approx(0.5, abs=0.1)
    assert sum(row["attribute_auc_p"] <= 0.05 for row in rows) <= 1


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0])
def test_planted_attribute_auc_comes_back(distance):
    counts = {("a", "x"): 1500, ("a", "y"): 1000, ("b", "x"): 1000, ("b", "y"): 1500}
    index = records(counts)
    node = simulated_node(index, {"tone": distance}, seed=1)
    settings = BiasSettings(resamples=100, permutations=50)
    row = AttributeScorer(index, TONE[0], node.fold, settings).score(node, np.zeros(5000, bool))
    assert row["attribute_auc"] == pytest.approx(expected_auc(distance), abs=0.02)
    assert row["attribute_auc_low"] <= row["attribute_auc"] <= row["attribute_auc_high"]


def test_a_rare_third_value_counts_as_much_as_the_others():
    index = records({(label, tone): n for label in "ab"
                     for tone, n in (("x", 150), ("y", 130), ("z", 20))})  # fmt: skip
    rng = np.random.default_rng(0)
    node = simulated_node(index, {}, seed=0)
    node.cross_fitted[:, index["tone"] == "z", 0] += 9
    row = AttributeScorer(index, TONE[0], node.fold, QUICK).score(node, rng.random(600) < 0.5)
    # z against the rest is told surely. x and y are told from z, 20 of their 150 or 170 rivals.
    hidden = (0.5 * 130 + 20) / 150 + (0.5 * 150 + 20) / 170
    assert row["attribute_auc"] == pytest.approx((1 + hidden) / 3, abs=0.06)


@pytest.mark.parametrize(("labels", "tones"), [
    ([0.5, 0.5], [0.5, 0.5]), ([0.9, 0.1], [0.9, 0.1]), ([0.5, 0.5], [0.6, 0.3, 0.1]),
])  # fmt: skip
def test_noise_is_seldom_significant(labels, tones):
    """Fitting and judging in turn counts chance twice: a test that forgets it flags 12%."""
    significant, gapped = 0, 0
    settings = BiasSettings(resamples=50, permutations=99)
    for seed in range(80):
        rng = np.random.default_rng(seed)
        index = pd.DataFrame({
            "label": rng.choice(["a", "b"], 150, p=labels),
            "tone": rng.choice(["x", "y", "z"][: len(tones)], 150, p=tones),
        }).assign(image_id=[str(i) for i in range(150)], split="train")  # fmt: skip
        node = simulated_node(index, {}, seed, dimensions=8)
        row = AttributeScorer(index, TONE[0], node.fold, settings).score(
            node, rng.random(150) < 0.8
        )
        significant += row["attribute_auc_p"] <= 0.05
        # No record is aligned where label and attribute happen to be exactly independent.
        gapped += row["accuracy_gap"] is not None and row["accuracy_gap_p"] <= 0.05
    # The chance that 5% tests flag more than 9 of 80 is 0.9%.
    assert max(significant, gapped) <= 9


def test_attribute_auc_is_out_of_fold():
    index = records({group: 2 * n for group, n in BIASED.items()})
    node = simulated_node(index, {}, seed=0)
    # An embedding that spells out each record's attribute only in the spaces of other folds.
    for fold in range(3):
        seen = node.fold != fold
        node.cross_fitted[fold][seen, 2] = 9 * np.where(index["tone"][seen] == "x", 1, -1)
    row = AttributeScorer(index, TONE[0], node.fold, QUICK).score(node, np.zeros(400, bool))
    assert abs(row["attribute_auc"] - 0.5) < 0.12


def test_strata_are_thinned_not_refused(monkeypatch):
    monkeypatch.setattr("heml.bias.attribute_auc.MAX_STRATUM", 40)
    labels, attributes = np.zeros(300, int), np.arange(300) % 2
    measure = AttributeAuc(labels, attributes, np.arange(300) // 100, 50, 50, seed=0)
    assert len(measure.rows) == 120
    features = np.random.default_rng(0).normal(size=(3, 300, 4)) + attributes[None, :, None]
    assert measure.measure(features)[0] > 0.8


# --- reliance and the score -----------------------------------------------------------------------


def test_score_needs_both_an_encoded_attribute_and_a_gap():
    assert bias_score(1.0, 1.0) == 1
    assert bias_score(0.5, 1.0) == 0
    assert bias_score(1.0, 0.0) == 0
    assert bias_score(1.0, -0.3) == 0
    assert bias_score(0.75, 0.5) == pytest.approx(0.5)


def test_guessing_the_frequent_label_is_no_gap():
    """Right on all of the frequent label, which has most aligned records, and on no other."""
    labels = np.repeat([0, 1], [180, 20])
    aligned = np.concatenate([np.arange(180) < 162, np.arange(20) < 2])
    gap, drawn, null = AccuracyGap(aligned, labels, 200, seed=0).gap(labels == 0)
    assert (labels == 0)[aligned].mean() - (labels == 0)[~aligned].mean() > 0.4
    assert gap == 0
    assert np.quantile(drawn, 0.025) < 0 < np.quantile(drawn, 0.975)
    assert not null.any()


def test_gap_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    aligned = np.array([1, 1, 0, 0, 1, 1, 1, 0], bool)
    correct = np.array([1, 1, 0, 0, 1, 1, 0, 0], bool)
    # Label 0 loses 1 with weight 2 · 2 / 4, label 1 loses 2/3 with weight 3 · 1 / 4.
    gap = AccuracyGap(aligned, labels, 50, seed=0).gap(correct)[0]
    assert gap == pytest.approx((1 * 1 + 0.75 * 2 / 3) / 1.75)


def test_a_node_that_holds_only_the_attribute_scores_high():
    index = records({group: 2 * n for group, n in BIASED.items()})
    row = scored(index, {"tone": 12})
    assert row["attribute_auc"] > 0.98
    assert row["accuracy_aligned"] > 0.9
    assert row["accuracy_conflicting"] < 0.2
    assert row["accuracy_gap"] > 0.7
    assert row["score"] > 0.8
    assert row["score_low"] <= row["score"] <= row["score_high"]
    assert (
        max(row["attribute_auc_p"], row["accuracy_gap_p"]) == row["score_p"] == pytest.approx(0.005)
    )


def test_a_node_that_holds_only_the_label_scores_zero():
    row = scored(records({group: 2 * n for group, n in BIASED.items()}), {"label": 12})
    assert row["accuracy_conflicting"] > 0.9
    assert row["score"] < 0.2


def test_the_planted_node_comes_first():
    counts = {("a", "x"): 142, ("a", "y"): 8, ("b", "x"): 8, ("b", "y"): 142}
    settings = BiasSettings(resamples=50, permutations=50)
    first = 0
    for seed in range(5):
        rows = [
            {"node": name, "kind": "leaf", **scored(records(counts), held, seed, settings=settings)}
            for name, held in (("noise", {}), ("planted", {"tone": 4.0}), ("label", {"label": 4.0}))
        ]
        first += rank_scores(pd.DataFrame(rows))["node"].iloc[0] == "planted"
    assert first == 5


def test_a_attribute_of_two_columns_sees_what_neither_shows():
    """Label a meets x with f and y with m: no column alone goes with the label."""
    many = [("a", "x", "f"), ("a", "y", "m"), ("b", "x", "m"), ("b", "y", "f")]
    few = [("b" if label == "a" else "a", *values) for label, *values in many]
    groups = dict.fromkeys(many, 90) | dict.fromkeys(few, 10)
    index = simulated_index(groups, ["tone", "sex"]).assign(
        both=lambda frame: frame["tone"] + frame["sex"]
    )
    links, _ = association(index, measured_attributes(["tone", "sex"]), 50, 99, seed=0)
    assert links["cramers_v"].round(2).tolist() == [0, 0, 0.8]
    row = scored(index, {"both": 8}, attributes=("tone", "sex"))
    assert (row["attribute"], row["attributes"]) == ("tone × sex", ["tone", "sex"])
    assert row["score"] > 0.5


def test_a_attribute_that_does_not_go_with_the_label_is_not_flagged():
    """A node that shows nothing but the attribute can follow it even where it tells nothing."""
    index = records({("a", "x"): 103, ("a", "y"): 97, ("b", "x"): 97, ("b", "y"): 103})
    node = simulated_node(index, {"tone": 12}, seed=0)
    follows = ((index["label"] == "a") == (index["tone"] == "x")).to_numpy()
    row = AttributeScorer(index, TONE[0], node.fold, QUICK).score(node, follows)
    assert max(row["attribute_auc_p"], row["accuracy_gap_p"]) <= 0.05
    ranked = rank_scores(pd.DataFrame([{"node": "n", "kind": "leaf", **row}])).iloc[0]
    assert ranked["score_p"] > 0.3
    assert not ranked["flagged"]


def test_votes_of_absent_nodes_are_the_frequencies():
    index = records({group: 2 * n for group, n in BIASED.items()})
    node = simulated_node(index, {"label": 12}, seed=0)
    node.index["present"] = False
    node.cross_fitted[:] = 0
    labels = (index["label"] == "b").astype(int).to_numpy()
    np.testing.assert_allclose(out_of_fold_votes(node, labels, 5), 0.5, atol=0.02)


# --- what cannot be measured ----------------------------------------------------------------------

HARD = {
    "one record of a value": ({**BIASED, ("a", "z"): 1}, "only one record has 'z'"),
    "all in one group": ({("a", "x"): 30}, "all records have the label 'a'"),
    "one label": ({("a", "x"): 20, ("a", "y"): 20}, "all records have the label 'a'"),
    "one value": ({("a", "x"): 20, ("b", "x"): 20}, "all records have the value 'x'"),
    "attribute is the label": (
        {("a", "x"): 30, ("b", "y"): 30},
        "the attribute is the label itself",
    ),
    "attribute determines the label": (
        {("a", "x"): 30, ("b", "y"): 30, ("b", "z"): 30},
        "every attribute value comes with one label only",
    ),
    "no value at all": ({("a", MISSING): 20, ("b", MISSING): 20}, "no record has a value"),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_attributes_give_a_valid_table_and_a_line(name):
    counts, line = HARD[name]
    index = records(counts)
    row = scored(index, {"tone": 3})
    assert line in row["note"]
    if name != "one record of a value":
        assert row["accuracy_gap"] is None
        assert row["score"] == 0
    scores = rank_scores(pd.DataFrame([{"node": "n", "kind": "leaf", **row}]))
    links, measures = association(index, TONE, 50, 50, seed=0)
    assert line in links["note"].iloc[0]
    groups = coverage(index, "l", ["tone"])
    for contract, frame in ((BIAS_SCORES, scores), (COVERAGE, groups), (ASSOCIATION, links),
                            (BIAS_MEASURES, measures)):  # fmt: skip
        contract.validate(frame, [c.name for c in contract.columns if c.name != "attributes"])
        assert contract.table(frame).num_rows == len(frame)
    unmeasured = measures[measures["value"].isna()]
    assert unmeasured["note"].ne("").all()


def test_missing_values_are_counted_and_left_out():
    plain = records(BIASED)
    more = pd.concat([plain, records({("a", MISSING): 30})], ignore_index=True)
    row, bare = scored(more, {}), scored(plain, {})
    assert (row["n"], row["n_missing"], row["n_conflicting"]) == (200, 30, 20)
    assert bare["n_missing"] == 0
    links, _ = association(more, TONE, 50, 50, seed=0)
    assert (links["n"].iloc[0], links["n_missing"].iloc[0]) == (200, 30)
    assert contingency(more, TONE[0]).values == ["x", "y"]


# --- ranks and false discoveries ------------------------------------------------------------------


def test_ranks_and_q_values():
    rows = pd.DataFrame(
        {
            "node": ["p", "q", "r"],
            "kind": ["leaf", "leaf", "root"],
            "attribute": "tone",
            "score": [0.2, 0.7, 0.1],
            "score_low": [0.0, 0.5, 0.0],
            "attribute_auc": [0.6, 0.9, 0.5],
            "attribute_auc_low": [0.5, 0.8, 0.4],
            "attribute_auc_p": [0.04, 0.01, None],
            "accuracy_gap_p": [0.5, 0.02, None],
            "score_p": [0.5, 0.02, None],
        }
    )
    ranked = rank_scores(rows).set_index("node")
    assert ranked["rank"].to_dict() == {"q": 1, "p": 2, "r": 1}
    assert ranked.loc["q", "attribute_auc_q"] == pytest.approx(0.02)
    assert np.isnan(ranked.loc["r", "attribute_auc_q"])
    assert ranked["flagged"].to_dict() == {"q": True, "p": False, "r": False}


def test_families_are_controlled_apart():
    rows = pd.DataFrame({"p": [0.01, 0.04, 0.02, None], "family": ["a", "a", "b", "b"]})
    assert controlled(rows, ["family"]).round(3).tolist()[:3] == [0.02, 0.04, 0.02]
    assert controlled(rows).round(3).tolist()[:3] == [0.03, 0.04, 0.03]
