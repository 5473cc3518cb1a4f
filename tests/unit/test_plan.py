"""Plans on hand-made cells and layouts."""

import numpy as np
import pandas as pd
import pytest

from heml.bias.coverage import coverage
from heml.recombination.cells import wanted_samples
from heml.recombination.layout import Layouts
from heml.recombination.plan import Planner
from heml.recombination.roles import Roles, find_roles
from heml.settings import RebalanceSettings

LEAVES = ("background", "hair", "mouth")
ROLES = Roles({"tone": ("hair",)}, ("mouth",))


def train_split(counts: dict[tuple[str, str], int]) -> pd.DataFrame:
    rows = [pair for pair, n in counts.items() for _ in range(n)]
    frame = pd.DataFrame(rows, columns=["label", "tone"])
    return frame.assign(image_id=[f"image-{i}" for i in range(len(frame))])


def layouts_of(train: pd.DataFrame, areas: tuple[float, float, float] = (0.5, 0.3, 0.02)):
    n = len(train)
    rng = np.random.default_rng(0)
    boxes = rng.random((n, 3, 4)).astype(np.float32)
    return Layouts(train["image_id"].tolist(), LEAVES, boxes, np.tile(np.float32(areas), (n, 1)))


def plan(counts, roles=ROLES, areas=(0.5, 0.3, 0.02), **settings):
    train = train_split(counts)
    chosen = RebalanceSettings(**settings)
    cells = wanted_samples(coverage(train, "letter", ["tone"]), chosen)
    edits, planned = Planner(train, ["tone"], roles, layouts_of(train, areas), chosen).plan(cells)
    return train.set_index("image_id"), edits, planned.set_index("cell")


BIASED = {("a", "x"): 40, ("a", "y"): 4, ("b", "x"): 4, ("b", "y"): 40}


def test_wanted_samples_by_hand():
    cells = coverage(train_split(BIASED), "l", ["tone"])
    wanted = wanted_samples(cells, RebalanceSettings(budget=1.0, controls=0.5)).set_index("cell")
    assert wanted["n_target"].tolist() == [40] * 4
    assert wanted.loc["l=a · tone=y", "deficit"] == 36
    assert wanted.loc["l=a · tone=x", "deficit"] == 0
    assert wanted.loc["l=a · tone=x", "controls"] == 18


def test_budget_scales_deficits():
    cells = coverage(train_split(BIASED), "l", ["tone"])
    wanted = wanted_samples(cells, RebalanceSettings(budget=0.25))
    assert wanted["deficit"].sum() <= 22
    assert wanted_samples(cells, RebalanceSettings(budget=0))["deficit"].sum() == 0


def test_every_edit_makes_what_its_cell_wants():
    train, edits, planned = plan(BIASED)
    assert (planned["n_planned"] >= planned["n_wanted"]).all()
    for edit in edits.to_dict("records"):
        host, donor = train.loc[edit["host_id"]], train.loc[edit["donor_id"]]
        tone = edit["groups"][0]
        if edit["direction"] == "label_onto_donor":
            assert edit["nodes"] == ["mouth"]
            assert (host["tone"], donor["label"]) == (tone, edit["label"])
        elif edit["direction"] == "group_onto_host":
            assert edit["nodes"] == ["hair"]
            assert (host["label"], donor["tone"]) == (edit["label"], tone)
        else:
            assert host.tolist() == donor.tolist() == [edit["label"], tone]
        assert edit["host_id"] != edit["donor_id"]
    assert set(edits["direction"]) == {"label_onto_donor", "group_onto_host", "control"}


def test_large_leaves_are_recoloured_not_transplanted():
    _, edits, _ = plan(BIASED)
    moved = edits[edits["nodes"].str[0] == "hair"]
    assert set(moved["operator"]) == {"recolour"}


def test_large_leaves_are_transplanted_where_nothing_else_is_allowed():
    roles = Roles({"tone": ("hair",)}, ())
    _, edits, _ = plan(BIASED, roles=roles, operators=["transplant"])
    assert set(edits.loc[edits["direction"] == "group_onto_host", "operator"]) == {"transplant"}


def test_backgrounds_are_exchanged():
    _, edits, _ = plan(BIASED, roles=Roles({"tone": ("background",)}, ()))
    assert set(edits["operator"]) == {"background", "recolour"}


def test_donors_do_not_give_more_than_their_share():
    _, edits, planned = plan(BIASED, donor_share=0.1)
    made = edits[edits["groups"].str[0] == "y"]
    made = made[made["label"] == "a"]
    wanted = planned.loc["letter=a · tone=y", "n_wanted"]
    # Twenty donors at a tenth each, spares included.
    assert made["donor_id"].value_counts().max() <= np.ceil(0.1 * wanted * 2)


def test_same_seed_same_plan():
    first, second, other = plan(BIASED)[1], plan(BIASED)[1], plan(BIASED, seed=1)[1]
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(other)


def test_unreachable_cells_say_why():
    _, edits, planned = plan(BIASED, roles=Roles({"tone": ()}, ()))
    assert edits.empty
    assert "no leaf carries tone" in planned.loc["letter=a · tone=y", "note"]


def test_a_value_that_occurs_once_is_no_error():
    _, edits, planned = plan({("a", "x"): 20, ("b", "y"): 20, ("b", "x"): 1})
    assert len(planned) == 4
    assert len(edits) > 0


def test_empty_cell_is_filled():
    _, edits, _ = plan({("a", "x"): 20, ("b", "y"): 20})
    made = edits[(edits["label"] == "a") & (edits["groups"].str[0] == "y")]
    assert len(made) >= 20


@pytest.fixture
def scores():
    return pd.DataFrame(
        {
            "node": ["hair", "mouth", "skin", "image"],
            "kind": ["leaf", "leaf", "leaf", "root"],
            "group": "tone",
            "score": [0.9, 0.0, 0.3, 0.95],
            "leakage": [0.99, 0.5, 0.7, 0.99],
            "leakage_q": [0.01, 0.6, 0.01, 0.01],
            "accuracy_aligned": [0.9, 0.9, 0.7, 0.9],
            "accuracy_conflicting": [0.1, 0.9, 0.4, 0.1],
        }
    )


def test_roles_from_scores(scores):
    roles = find_roles(scores, labels=2)
    assert roles.group_carriers == {"tone": ("hair",)}
    assert roles.label_carriers == ("mouth",)


def test_no_roles_without_bias(scores):
    roles = find_roles(scores.assign(score=0.0), labels=2)
    assert roles.group_carriers == {"tone": ()}
