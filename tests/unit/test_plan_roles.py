"""Which nodes are moved: from scores, and from what the segments themselves say."""

import numpy as np
import pandas as pd
import pytest

from heml.recombination.attribution.presence import find_presence
from heml.recombination.attribution.roles import chance_accuracy, find_roles, roles_from
from heml.recombination.plan.layout import MISFIT_COST, Layouts
from heml.taxonomy import Taxonomy

TAXONOMY = Taxonomy(
    "toy",
    {leaf: (leaf,) for leaf in ("background", "hair", "hat", "mouth", "skin")},
    {"top": ("hair", "hat"), "face": ("mouth", "skin"), "image": ("background", "top", "face")},
)


def scores(attribute="tone", **changes):
    """Scores in which hair carries the attribute, mouth the label and skin nothing."""
    rows = {
        "background": (0.0, 0.5, 0.6, 0.5, 0.5),
        "hair": (0.9, 0.99, 0.01, 0.9, 0.1),
        "hat": (0.0, 0.5, 0.6, 0.5, 0.5),
        "mouth": (0.0, 0.5, 0.6, 0.9, 0.9),
        "skin": (0.0, 0.5, 0.6, 0.5, 0.5),
        "top": (0.9, 0.99, 0.01, 0.9, 0.1),
        "face": (0.0, 0.6, 0.3, 0.85, 0.85),
        "image": (0.95, 0.99, 0.01, 0.9, 0.1),
    }
    rows |= changes
    names = [
        "score",
        "attribute_auc",
        "attribute_auc_q",
        "accuracy_aligned",
        "accuracy_conflicting",
    ]
    frame = pd.DataFrame([[node, *row] for node, row in rows.items()], columns=["node", *names])
    frame["score_low"] = frame["score"] * 0.9
    for name in names[3:]:
        frame[f"{name}_low"] = frame[name] - 0.1
    return frame.assign(kind=[TAXONOMY.kind(n) for n in frame["node"]], attribute=attribute)


def test_leaf_that_carries_the_attribute_and_leaf_that_tells_the_label():
    roles = find_roles(scores(), 2, TAXONOMY)
    assert roles.attribute_nodes == {"tone": ("hair",)}
    assert roles.label_nodes == ("mouth",)
    assert roles.remarks == ()


def test_of_leaves_that_carry_the_attribute_alike_the_one_without_the_label_is_moved():
    # A tint of the whole image: the mouth shows it a little better than the hair.
    weak = (0.42, 0.79, 0.01, 0.79, 0.42)
    roles = find_roles(
        scores(hair=weak, top=weak, mouth=(0.43, 0.91, 0.01, 0.9, 0.67)),
        2,
        TAXONOMY,
    )
    assert roles.attribute_nodes == {"tone": ("hair",)}
    assert roles.label_nodes == ("mouth",)


def test_branch_is_moved_where_no_leaf_stands_out():
    weak = (0.2, 0.7, 0.01, 0.7, 0.5)
    roles = find_roles(scores(hair=weak, hat=weak), 2, TAXONOMY)
    assert roles.attribute_nodes == {"tone": ("top",)}
    assert "the branch top does" in roles.remarks[0]


def test_branch_that_holds_the_label_is_not_moved():
    nothing = (0.0, 0.5, 0.6, 0.5, 0.5)
    roles = find_roles(
        scores(hair=nothing, top=nothing, face=(0.9, 0.99, 0.01, 0.9, 0.2)), 2, TAXONOMY
    )
    assert roles.attribute_nodes == {"tone": ()}


def test_no_node_stands_out():
    nothing = (0.0, 0.5, 0.6, 0.5, 0.5)
    roles = find_roles(scores(hair=nothing, top=nothing, image=nothing), 2, TAXONOMY)
    assert roles.attribute_nodes == {"tone": ()}
    assert roles.remarks == ("tone: no node encodes it clearly enough to be moved",)
    shows = (0.0, 0.9, 0.01, 0.5, 0.5)
    roles = find_roles(scores(hair=shows, top=nothing, image=nothing), 2, TAXONOMY)
    assert roles.attribute_nodes == {"tone": ("hair",)}
    assert "no node stands out" in roles.remarks[0]


def test_score_that_may_be_chance_is_called_so():
    table = scores()
    table.loc[table["node"].isin(["hair", "top"]), "score_low"] = 0.0
    assert "touches 0" in find_roles(table, 2, TAXONOMY).remarks[0]


def test_attribute_that_always_goes_with_the_label():
    table = scores()
    table[
        ["attribute_auc", "attribute_auc_q", "accuracy_conflicting", "accuracy_conflicting_low"]
    ] = np.nan
    table["score"] = 0.0
    roles = find_roles(table, 2, TAXONOMY)
    assert (roles.attribute_nodes, roles.label_nodes) == ({"tone": ()}, ())
    assert "fully confounded with the label" in roles.remarks[0]


def test_background_is_never_moved_with_something_else():
    also = (0.8, 0.99, 0.01, 0.9, 0.1)
    assert find_roles(scores(background=also), 2).attribute_nodes["tone"] == ("hair",)
    best = (1.0, 0.99, 0.01, 0.9, 0.1)
    assert find_roles(scores(background=best), 2).attribute_nodes["tone"] == ("background",)


@pytest.mark.parametrize(
    ("leaves", "background"),
    [
        (("rest", "head"), "rest"),
        (("scene", "background", "person"), "background"),
        (("rest", "scene", "person"), None),
        (("hair", "mouth"), None),
    ],
)
def test_what_lies_behind_is_known_by_its_name(leaves, background):
    tree = Taxonomy("toy", {leaf: (leaf,) for leaf in leaves}, {"image": leaves})
    assert tree.background == background
    frame = np.full((1, len(leaves), 4), 0.5, np.float32)
    layouts = Layouts(["a"], leaves, frame, np.full((1, len(leaves)), 0.5, np.float32))
    assert layouts.background == background


def test_leaf_that_guesses_the_common_label_tells_nothing():
    # Nine in ten have one label: .9 on both sides is what chance_accuracy gives.
    roles = find_roles(scores(), 2, TAXONOMY, chance={"tone": 0.9})
    assert roles.label_nodes == ()


def test_chance_accuracy_by_hand():
    labels = np.array(["a"] * 9 + ["b"], object)
    values = np.array(["x", "x", "x", "x", "x", "y", "y", "y", "y", "y"], object)
    # x is aligned with a, y with b: aligned 5 of 6 are a, conflicting 4 of 4.
    assert chance_accuracy(labels, values) == pytest.approx((5 / 6 + 1) / 2)
    assert chance_accuracy(labels, np.array([None] * 10, object)) == 1.0


def test_roles_survive_being_stored():
    import json

    areas = {"hat": np.repeat([0.1, 0.0], 10)}
    values = np.array(["yes"] * 10 + ["no"] * 10, object)
    found = find_presence(values, np.zeros(20), areas)
    roles = find_roles(scores(), 2, TAXONOMY, presence={"tone": found})
    assert roles.attribute_nodes == {"tone": ("hat",)}
    assert roles_from(json.loads(json.dumps(roles.describe()))) == roles


# --- presence -----------------------------------------------------------------------------------


def test_presence_with_mistakes_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    has = rng.random(400) < 0.1
    values = np.where(has ^ (rng.random(400) < 0.02), "1", "0").astype(object)
    areas = {"hat": has * 0.05, "hair": np.full(400, 0.3), "ring": (rng.random(400) < 0.5) * 0.01}
    (hat,) = find_presence(values, rng.integers(0, 2, 400), areas)
    assert (hat.leaf, hat.present) == ("hat", {"0": False, "1": True})
    assert 0.9 <= hat.agreement < 1


def test_tiny_segments_do_not_count_where_the_attribute_ignores_them():
    areas = {"person": np.array([0.0004] * 30 + [0.004] * 30)}
    values = np.array(["0"] * 30 + ["1"] * 30, object)
    (person,) = find_presence(values, np.zeros(60), areas)
    assert 0.0004 <= person.least_area < 0.004


def test_leaf_that_is_there_because_of_the_label_is_not_the_attribute():
    # 97% of the records follow the habit; the leaf follows the label alone.
    labels = np.array(["a"] * 100 + ["b"] * 100)
    attributes = np.array(["x"] * 97 + ["y"] * 3 + ["y"] * 97 + ["x"] * 3, object)
    areas = {"tooth": np.where(labels == "a", 0.01, 0.0)}
    assert find_presence(attributes, labels, areas) == ()
    assert [p.leaf for p in find_presence(labels.astype(object), attributes, areas)] == ["tooth"]


def test_many_values_are_told_by_several_leaves():
    values = np.array(["none"] * 10 + ["hat"] * 10 + ["cap"] * 10, object)
    areas = {"hat": (values == "hat") * 0.1, "cap": (values == "cap") * 0.1}
    assert {p.leaf for p in find_presence(values, np.zeros(30), areas)} == {"hat", "cap"}


def test_a_value_that_occurs_once_proves_no_presence():
    values = np.array(["x"] * 50 + ["y"], object)
    areas = {"hat": np.array([0.0] * 50 + [0.1])}
    assert find_presence(values, np.zeros(51), areas) == ()


# --- pose ---------------------------------------------------------------------------------------

FACE = np.array([[0.4, 0.4, 0.1, 0.05], [0.6, 0.4, 0.1, 0.05], [0.5, 0.7, 0.2, 0.1]])


def layouts(*boxes: np.ndarray) -> Layouts:
    stacked = np.stack(boxes).astype(np.float32)
    leaves = ("left", "right", "chin")
    areas = np.where(np.isnan(stacked[..., 0]), 0, 0.1).astype(np.float32)
    return Layouts([str(i) for i in range(len(boxes))], leaves, stacked, areas)


def test_place_and_size_count_little_arrangement_counts():
    moved = FACE * [0.8, 0.8, 0.8, 0.8] + [0.15, 0.05, 0, 0]
    turned_away = FACE.copy()
    turned_away[2, 0] = 0.62  # the chin to one side
    found = layouts(FACE, FACE, moved, turned_away).mismatch(
        0, np.array([1, 2, 3]), ["left", "right", "chin"]
    )
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[0] < found[1] < found[2]
    # A fifth smaller costs .02 of log2(1.25) alone.
    assert found[1] == pytest.approx(0.02 * np.log2(1.25), abs=1e-5)


def test_donor_without_a_shared_leaf_comes_last():
    nothing = np.full_like(FACE, np.nan)
    one_missing = FACE.copy()
    one_missing[2] = np.nan
    found = layouts(FACE, one_missing, nothing).mismatch(
        0, np.array([1, 2]), ["left", "right", "chin"]
    )
    assert 0 < found[0] < 0.2 < 1 < found[1]


def test_a_moved_leaf_fits_as_far_as_it_covers_the_old_one():
    wider, apart = FACE.copy(), FACE.copy()
    wider[2, 2] = 0.4
    apart[2, 1] = 0.9
    found = layouts(FACE, FACE, wider, apart).mismatch(
        0, np.array([1, 2, 3]), ["left", "right"], ["chin"]
    )
    assert found[0] == pytest.approx(0, abs=1e-6)
    # Twice as wide: half of both together is shared. Below the old one: nothing is.
    assert found[1] == pytest.approx(MISFIT_COST * 0.5, abs=1e-5)
    assert found[2] == pytest.approx(MISFIT_COST, abs=1e-5)


def test_background_donors_hide_behind_the_host():
    small = FACE * [1, 1, 0.5, 0.5]
    shifted = FACE + [0.3, 0, 0, 0]
    found = layouts(FACE, small, shifted).uncovered(0, np.array([1, 2]), [])
    assert found[0] == pytest.approx(0, abs=1e-6)
    # Both boxes are .3 wide and .375 high; .3 to the right, nothing of it is hidden.
    assert found[1] == pytest.approx(0.3 * 0.375, abs=1e-5)


def test_seam_is_the_circle_of_the_smaller_side():
    made = layouts(FACE)
    assert made.seam(["left"]) == pytest.approx(2 * np.sqrt(np.pi * 0.1))
    large = Layouts(["0"], ("left",), FACE[None, :1], np.array([[0.9]], np.float32))
    assert large.seam(["left"]) == pytest.approx(2 * np.sqrt(np.pi * 0.1), rel=1e-5)
