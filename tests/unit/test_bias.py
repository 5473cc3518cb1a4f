"""Coverage, association, leakage and the score: by hand, planted, and on noise."""

import numpy as np
import pandas as pd
import pytest

from heml.bias.association import association, cramers_v
from heml.bias.coverage import aligned_records, cell_name, coverage
from heml.bias.leakage import WithinLabelAUC, group_scores
from heml.bias.measure import rank_scores, score_node
from heml.bias.reliance import out_of_fold_votes
from heml.bias.score import bias_score
from heml.metrics.artifacts import NodeMetric
from heml.settings import MetricSettings


def records(counts: dict[tuple[str, str], int]) -> pd.DataFrame:
    rows = [pair for pair, n in counts.items() for _ in range(n)]
    return pd.DataFrame(rows, columns=["label", "tone"])


BIASED = {("a", "x"): 90, ("a", "y"): 10, ("b", "x"): 10, ("b", "y"): 90}


def test_coverage_by_hand():
    cells = coverage(records(BIASED), "letter", ["tone"]).set_index("cell")
    row = cells.loc["letter=a · tone=x"]
    assert (row["n"], row["share"], row["representation_ratio"]) == (90, 0.45, 1.8)
    assert row["aligned"]
    assert not cells.loc["letter=a · tone=y", "aligned"]


def test_empty_cells_are_counted():
    cells = coverage(records({("a", "x"): 5, ("b", "y"): 5}), "l", ["tone"])
    assert len(cells) == 4
    assert sorted(cells["n"]) == [0, 0, 5, 5]


def test_cells_of_several_groups_are_all_combinations():
    train = records(BIASED).assign(hat="none")
    cells = coverage(train, "l", ["tone", "hat"])
    assert list(cells["groups"].iloc[0]) == ["x", "none"]
    assert cell_name("l", "a", ["tone", "hat"], ["x", "none"]) == "l=a · tone=x · hat=none"


def test_aligned_records():
    train = records(BIASED)
    aligned = aligned_records(train, train, "tone")
    assert aligned.sum() == 180
    assert not aligned[(train["label"] == "a") & (train["tone"] == "y")].any()


def test_cramers_v_of_planted_tables():
    assert cramers_v(np.array([[500, 0], [0, 500]])) == pytest.approx(1, abs=0.01)
    assert cramers_v(np.array([[250, 250], [250, 250]])) == 0
    assert cramers_v(np.array([[450, 50], [50, 450]])) == pytest.approx(0.8, abs=0.01)
    assert cramers_v(np.array([[10, 10]])) == 0


def test_association_interval_holds_the_value():
    row = association(records(BIASED), ["tone"], resamples=200, seed=0).iloc[0]
    assert row["cramers_v_low"] < row["cramers_v"] < row["cramers_v_high"]
    assert row["p_value"] < 1e-10


def test_score_needs_both_carrying_and_being_fooled():
    assert bias_score(1.0, 1.0, 0.0) == 1
    assert bias_score(0.5, 1.0, 0.0) == 0
    assert bias_score(1.0, 0.9, 0.9) == 0
    assert bias_score(0.75, 0.9, 0.4) == pytest.approx(0.5)


def test_auc_by_hand_counts_pairs_within_strata_only():
    scores = np.array([[0, 3.0], [0, 1.0], [0, 2.0], [0, 9.0], [0, 8.0]])
    groups = np.array([1, 0, 0, 0, 1])
    strata = np.array([0, 0, 0, 1, 1])
    # Stratum 0: 3 beats 1 and 2. Stratum 1: 8 loses to 9. Across strata nothing is compared.
    assert WithinLabelAUC(scores, groups, strata, seed=0).value() == pytest.approx(2 / 3)


def test_auc_without_pairs_is_none():
    scores = np.zeros((4, 2))
    auc = WithinLabelAUC(scores, np.zeros(4, int), np.zeros(4, int), seed=0)
    assert auc.value() is None


def test_permutations_are_centred_on_chance():
    rng = np.random.default_rng(0)
    groups = (np.arange(60) < 6).astype(int)
    scores = np.stack([np.zeros(60), rng.normal(size=60)], axis=1)
    auc = WithinLabelAUC(scores, groups, np.zeros(60, int), seed=0)
    assert auc.permuted(400, seed=1).mean() == pytest.approx(0.5, abs=0.02)


def planted_metric(
    index: pd.DataFrame, label_strength: float, group_strength: float, seed: int = 0
) -> NodeMetric:
    """Embeddings that hold the label and the group as far as wanted, in all fold spaces alike."""
    rng = np.random.default_rng(seed)
    n = len(index)
    embeddings = rng.normal(size=(n, 16)).astype(np.float32)
    embeddings[:, 0] += label_strength * np.where(index["label"] == "a", 1, -1)
    embeddings[:, 1] += group_strength * np.where(index["tone"] == "x", 1, -1)
    frame = pd.DataFrame(
        {
            "image_id": [str(i) for i in range(n)],
            "split": "train",
            "fold": np.arange(n) % 3,
            "present": True,
        }
    )
    crossed = np.stack([embeddings] * 3)
    return NodeMetric("node", frame, embeddings, crossed, [], {"state": "trained"})


@pytest.fixture(scope="module")
def index():
    frame = records({("a", "x"): 180, ("a", "y"): 20, ("b", "x"): 20, ("b", "y"): 180})
    return frame.assign(split="train").sample(frac=1, random_state=0).reset_index(drop=True)


def test_a_node_that_holds_only_the_group_scores_high(index):
    row = score_node(planted_metric(index, 0, 6), index, "tone", MetricSettings())
    assert row["leakage"] > 0.98
    assert row["accuracy_aligned"] > 0.9
    assert row["accuracy_conflicting"] < 0.2
    assert row["score"] > 0.8
    assert row["score_low"] <= row["score"] <= row["score_high"]
    assert row["leakage_p"] < 0.01


def test_a_node_that_holds_only_the_label_scores_zero(index):
    row = score_node(planted_metric(index, 6, 0), index, "tone", MetricSettings())
    assert row["accuracy_conflicting"] > 0.9
    assert row["score"] < 0.2


def test_noise_is_seldom_significant():
    flagged = 0
    for seed in range(20):
        index = records({("a", "x"): 90, ("a", "y"): 10, ("b", "x"): 10, ("b", "y"): 90})
        index = index.assign(split="train").sample(frac=1, random_state=seed)
        index = index.reset_index(drop=True)
        row = score_node(planted_metric(index, 0, 0, seed), index, "tone", MetricSettings())
        flagged += row["leakage_p"] <= 0.05
    # The chance that 5% tests flag more than 4 of 20 is 0.3%.
    assert flagged <= 4


def test_group_scores_are_out_of_fold(index):
    metric = planted_metric(index, 0, 0)
    # An embedding that spells out each record's group only in the spaces of other folds.
    for fold in range(3):
        seen = metric.fold != fold
        metric.cross_fitted[fold][seen, 2] = 9 * np.where(index["tone"][seen] == "x", 1, -1)
    values = (index["tone"] == "x").astype(int).to_numpy()
    cells = np.unique(index["label"] + index["tone"], return_inverse=True)[1]
    scores = group_scores(metric, cells, values)
    auc = WithinLabelAUC(scores, values, cells // 2 * 3 + metric.fold, seed=0)
    assert abs(auc.value() - 0.5) < 0.12


def test_votes_of_absent_nodes_are_the_frequencies(index):
    metric = planted_metric(index, 6, 0)
    metric.index["present"] = False
    metric.cross_fitted[:] = 0
    labels = (index["label"] == "b").astype(int).to_numpy()
    np.testing.assert_allclose(out_of_fold_votes(metric, labels, 5), 0.5, atol=0.02)


def test_ranks_and_q_values():
    rows = pd.DataFrame(
        {
            "node": ["p", "q", "r"],
            "kind": ["leaf", "leaf", "root"],
            "group": "tone",
            "score": [0.2, 0.7, 0.1],
            "leakage": [0.6, 0.9, 0.5],
            "leakage_p": [0.04, 0.01, None],
        }
    )
    ranked = rank_scores(rows).set_index("node")
    assert ranked["rank"].to_dict() == {"q": 1, "p": 2, "r": 1}
    assert ranked.loc["q", "leakage_q"] == pytest.approx(0.02)
    assert np.isnan(ranked.loc["r", "leakage_q"])
