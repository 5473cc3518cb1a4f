"""`heml taxonomy`, and the hierarchy that it proposes."""

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heml.taxonomy import builtin, builtin_names, from_mapping
from heml.tree.pairs import Pairs
from heml.tree.propose import Likeness, adjacency, agreement, leaf_map, propose
from pipelines.cli.app import main


def likeness(leaves, alike) -> Likeness:
    alike = np.array(alike, float)
    return Likeness(tuple(leaves), alike, alike, pairs=100, images=10)


def test_list_names_every_built_in(capsys):
    assert main(["taxonomy", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == builtin_names()


def test_show_draws_every_node(capsys):
    assert main(["taxonomy", "show", "camvid"]) == 0
    shown = capsys.readouterr().out
    tree = builtin("camvid")
    assert [n for n in tree.nodes if f" {n}\n" not in f" {shown}"] == []
    assert "ignored: void" in shown


def test_show_of_an_unknown_name_gives_a_hint(capsys):
    assert main(["taxonomy", "show", "camvit"]) == 2
    assert "did you mean 'camvid'" in capsys.readouterr().err


def test_propose_of_a_folder_without_tree_says_what_to_run(tmp_path, capsys):
    assert main(["taxonomy", "propose", str(tmp_path)]) == 2
    assert "run the metric_tree stage first" in capsys.readouterr().err


def test_likely_leaves_come_together():
    names = ["background", "eyes", "brows", "shirt", "trousers"]
    alike = np.full((5, 5), 0.1)
    alike[1, 2] = alike[2, 1] = 0.9
    alike[3, 4] = alike[4, 3] = 0.8
    tree, joined = propose(likeness(names, alike))
    assert tree == {
        "eyes_brows": ["eyes", "brows"],
        "shirt_trousers": ["shirt", "trousers"],
        "image": ["background", "eyes_brows", "shirt_trousers"],
    }
    assert joined["eyes_brows"] == pytest.approx(0.9)
    assert joined["image"] == pytest.approx(0.1)


def test_branches_within_the_tolerance_are_one():
    alike = np.full((4, 4), 0.5)
    alike[0, 1] = alike[1, 0] = 0.53
    names = ["a", "b", "c", "d"]
    assert propose(likeness(names, alike), tolerance=0.05)[0] == {"image": ["a", "b", "c", "d"]}
    assert "a_b" in propose(likeness(names, alike), tolerance=0.01)[0]


@given(st.integers(1, 9), st.integers(0, 1000), st.floats(0, 0.3))
def test_every_proposal_is_a_taxonomy(count, seed, tolerance):
    rng = np.random.default_rng(seed)
    alike = rng.random((count, count))
    alike = (alike + alike.T) / 2
    names = ["background", "image", *(f"leaf_{n}" for n in range(count))][:count]
    tree, _ = propose(likeness(names, alike), tolerance=tolerance)
    made = from_mapping("proposed", {"leaves": {n: [n] for n in names}, "tree": tree})
    assert sorted(made.leaves_of(made.root)) == sorted(names)
    again = yaml.safe_load(yaml.safe_dump({"tree": tree}, sort_keys=False))
    assert again["tree"] == tree


@pytest.mark.parametrize(("name", "value"), [("weight", 1.5), ("tolerance", -0.1)])
def test_shares_outside_0_to_1_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be within 0 and 1"):
        propose(likeness(["a", "b"], np.ones((2, 2))), **{name: value})


def test_adjacency_is_the_share_of_the_shorter_border():
    # Leaf 1 is a 2 × 2 square inside leaf 0; leaf 2 a column at the edge.
    leaves = np.zeros((6, 6), int)
    leaves[2:4, 1:3] = 1
    leaves[:, 5] = 2
    found = adjacency([leaves], 4)
    assert found[0, 1] == 1  # all 8 sides of the square
    assert found[0, 2] == 1  # all 6 sides of the column that are no edge
    assert found[1, 2] == 0
    assert found[0, 3] == 0  # never present
    np.testing.assert_array_equal(found, found.T)


def test_adjacency_counts_only_images_that_have_both():
    apart, touching = np.full((4, 4), -1), np.full((4, 4), -1)
    apart[0], apart[3] = 0, 1
    touching[0], touching[1] = 0, 1
    alone = np.full((4, 4), -1)
    alone[0] = 0
    # Row 0 touches its neighbors with 4 sides in both images, in one of them with leaf 1.
    assert adjacency([apart, touching], 2)[0, 1] == pytest.approx(0.5)
    assert adjacency([touching, alone, alone], 2)[0, 1] == 1


def test_agreement_is_the_rank_correlation_of_pairs_that_have_both():
    rng = np.random.default_rng(0)
    first = rng.random(400)
    distance = np.stack([first, first**3, rng.random(400), np.zeros(400)], axis=1)
    both = np.ones((400, 4), bool)
    both[200:, 1] = False
    distance[200:, 1] = 0
    rows = np.arange(400)
    found = agreement(Pairs(rows, rows, distance, ~both, both, np.ones(400)))
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 2] < 0.15
    assert np.isnan(found[0, 3])


def test_leaf_map_takes_no_pixel_from_ignored_classes():
    tree = builtin("camvid")
    sky, void = np.zeros((400, 300), bool), np.zeros((400, 300), bool)
    sky[:200], void[200:] = True, True
    found = leaf_map({"sky": sky, "void": void}, tree)
    assert max(found.shape) <= 160
    assert set(np.unique(found)) == {-1, list(tree.leaves).index("sky")}
