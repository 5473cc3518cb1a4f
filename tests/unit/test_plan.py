"""Plans on hand-made groups and layouts."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data_contracts import PLANNED_GROUPS, REBALANCE_PLAN
from heml.recombination.attribution.presence import Presence
from heml.recombination.attribution.roles import Roles
from heml.recombination.plan.layout import Layouts
from heml.recombination.plan.planner import Planner
from heml.recombination.rebalance_settings import RebalanceSettings

LEAVES = ("background", "hair", "mouth", "hat")
AREAS = (0.5, 0.3, 0.02, 0.05)
ROLES = Roles({"tone": ("hair",)}, ("mouth",))
BIASED = {("a", "x"): 40, ("a", "y"): 4, ("b", "x"): 4, ("b", "y"): 40}


def train_split(counts, attributes=("tone",)) -> pd.DataFrame:
    rows = [key for key, n in counts.items() for _ in range(n)]
    frame = pd.DataFrame(rows, columns=["label", *attributes], dtype=object)
    return frame.assign(image_id=[f"image-{i}" for i in range(len(frame))])


def layouts_of(train: pd.DataFrame, present=None) -> Layouts:
    n = len(train)
    boxes = np.random.default_rng(0).random((n, len(LEAVES), 4)).astype(np.float32)
    areas = np.tile(np.float32(AREAS), (n, 1))
    for leaf, has in (present or {}).items():
        areas[~np.asarray(has, bool), LEAVES.index(leaf)] = 0
    boxes[areas == 0] = np.nan
    return Layouts(train["image_id"].tolist(), LEAVES, boxes, areas)


def plan(counts, roles=ROLES, attributes=("tone",), present=None, members=None, **settings):
    train = train_split(counts, attributes)
    chosen = RebalanceSettings(**settings)
    layouts = layouts_of(train, present(train) if present else None)
    made = Planner(train, attributes, roles, layouts, chosen, "letter", members).plan()
    REBALANCE_PLAN.table(made.edits)
    PLANNED_GROUPS.table(made.groups)
    return train.set_index("image_id"), made.edits, made.groups.set_index("group"), made.remarks


def of_group(edits, label, *attributes):
    chosen = (edits["label"] == label) & (edits["attributes"].map(tuple) == attributes)
    return edits[chosen & ~edits["direction"].isin(["within_group", "identity"])]


def test_every_edit_makes_what_its_group_wants():
    train, edits, planned, _ = plan(BIASED)
    assert (planned["n_planned"] >= planned["n_wanted"]).all()
    for edit in edits.to_dict("records"):
        host, donor = train.loc[edit["host_id"]], train.loc[edit["donor_id"]]
        tone = edit["attributes"][0]
        if edit["direction"] == "swap_label":
            assert edit["nodes"] == ["mouth"]
            assert (host["tone"], donor["label"]) == (tone, edit["label"])
        elif edit["direction"] == "swap_attribute":
            assert edit["nodes"] == ["hair"]
            assert (host["label"], donor["tone"]) == (edit["label"], tone)
        else:
            assert host.tolist() == donor.tolist() == [edit["label"], tone]
        assert (edit["host_id"] == edit["donor_id"]) == (edit["direction"] == "identity")
    assert set(edits["direction"]) == {"swap_label", "swap_attribute", "within_group", "identity"}
    assert (planned["reason"] == "").all()
    # 440 samples are the budget, 220 of each label.
    assert planned["n_wanted"].tolist() == [92, 128, 128, 92]
    assert planned["n_reached"].tolist() == [132] * 4


def test_a_group_that_few_others_can_fill_grows_from_its_own_records():
    counts = {("a", "x"): 90, ("a", "y"): 6, ("b", "x"): 6, ("b", "y"): 60}
    _, _, planned, _ = plan(counts)
    group = planned.loc["letter=b · tone=y"]
    # Six hosts give 2 samples each; the rest is recombined within the group.
    assert group["n_balancing"] < group["n_missing"]
    assert planned["n_reached"].nunique() <= 2
    assert group["n_reached"] > 2 * 90


def test_large_leaves_are_recolored_first_and_transplanted_as_spares():
    _, edits, planned, _ = plan(BIASED)
    own = of_group(edits, "a", "y")
    wanted = planned.loc["letter=a · tone=y", "n_balancing"]
    needed, spare = own.iloc[:wanted], own.iloc[wanted:]
    assert set(needed.loc[needed["nodes"].str[0] == "hair", "operator"]) == {"recolor"}
    assert {"transplant", "recolor"} <= set(spare.loc[spare["nodes"].str[0] == "hair", "operator"])


def test_large_leaves_are_transplanted_where_nothing_else_is_allowed():
    roles = Roles({"tone": ("hair",)}, ())
    _, edits, _, _ = plan(BIASED, roles=roles, operators=["transplant"])
    assert set(edits.loc[edits["direction"] == "swap_attribute", "operator"]) == {"transplant"}


def test_backgrounds_are_exchanged():
    _, edits, _, _ = plan(BIASED, roles=Roles({"tone": ("background",)}, ()))
    # A real background of the wanted kind, not the own one in other colors ...
    assert set(edits["operator"]) == {"background"}
    # ... unless nothing else is allowed.
    _, edits, _, _ = plan(BIASED, roles=Roles({"tone": ("background",)}, ()), operators=["recolor"])
    assert set(edits["operator"]) == {"recolor"}


def test_a_label_that_is_all_the_foreground_is_not_moved_where_the_background_is():
    roles = Roles({"tone": ("background",)}, tuple(x for x in LEAVES if x != "background"))
    _, edits, _, _ = plan(BIASED, roles=roles)
    assert set(edits["direction"]) == {"swap_attribute", "within_group", "identity"}
    _, edits, _, _ = plan(BIASED, roles=roles, operators=["transplant"])
    assert "swap_label" in set(edits["direction"])


def test_a_branch_is_moved_by_its_leaves():
    roles = Roles({"tone": ("head",)}, ("mouth",))
    _, edits, _, _ = plan(BIASED, roles, members={"head": ("hair", "hat")})
    moved = edits[edits["direction"] == "swap_attribute"]
    assert set(moved["nodes"].map(tuple)) == {("hair", "hat")}


def test_within_group_edits_are_of_the_kinds_of_the_other_edits():
    _, edits, _, _ = plan(BIASED)
    kinds = edits.assign(nodes=edits["nodes"].map(tuple)).groupby("direction")
    kinds = {k: set(zip(own["nodes"], own["operator"], strict=True)) for k, own in kinds}
    assert kinds["within_group"] <= kinds["swap_attribute"] | kinds["swap_label"]
    assert kinds["identity"] == kinds["swap_attribute"] | kinds["swap_label"]


def test_within_group_edits_are_as_often_of_a_kind_as_what_balances_their_attribute():
    roles = Roles({"tone": ("background",)}, ("mouth",))
    # Most records of y are of label b, so a few of label a can be made of them by the mouth.
    _, edits, planned, _ = plan(BIASED, roles)
    operators = edits.assign(tone=edits["attributes"].str[0])
    for tone in ("x", "y"):
        groups = planned[planned["attributes"].str[0] == tone]
        fills = pd.concat(
            of_group(edits, group["label"], tone).iloc[: group["n_balancing"]]
            for group in groups.to_dict("records")
        )
        within_group = operators[
            (operators["direction"] == "within_group") & (operators["tone"] == tone)
        ]
        assert len(within_group) > 40
        for operator, share in fills["operator"].value_counts(normalize=True).items():
            assert (within_group["operator"] == operator).mean() == pytest.approx(share, abs=0.05)


def test_hosts_get_the_donors_colors_where_the_attribute_is_moved():
    _, edits, _, _ = plan(BIASED)
    moved = edits["nodes"].str[0]
    for direction, own in edits.groupby("direction"):
        for node, leaves in zip(moved[own.index], own["recolored_nodes"], strict=True):
            # The hair comes from a donor of the right tone, or stays; scenery stays.
            wanted = {"mouth", "hat"} - {node}
            assert set(leaves) == (
                wanted if direction in ("swap_attribute", "within_group") else set()
            )
    _, plain, _, _ = plan(BIASED, donor_colors=False)
    assert not any(plain["recolored_nodes"].map(len))


def test_colors_that_tell_the_label_stay():
    roles = Roles({"tone": ("hair",)}, ("mouth",), label_colors=("mouth",))
    _, edits, _, _ = plan(BIASED, roles)
    assert not any("mouth" in leaves for leaves in edits["recolored_nodes"])
    assert any("hat" in leaves for leaves in edits["recolored_nodes"])


def test_identity_edits_can_be_left_out():
    assert "identity" not in set(plan(BIASED, identity_edits=0)[1]["direction"])


def test_same_seed_same_plan():
    first, second, other = plan(BIASED)[1], plan(BIASED)[1], plan(BIASED, seed=1)[1]
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(other)


def test_no_edit_is_planned_twice_in_a_group():
    _, edits, _, _ = plan({("a", "x"): 40, ("a", "y"): 2, ("b", "x"): 3, ("b", "y"): 40})
    keys = edits[["label", "attributes", "nodes", "operator", "host_id", "donor_id"]].astype(str)
    assert not keys[edits["direction"] != "identity"].duplicated().any()


# --- attributes that are the presence of a segment
# -------------------------------------------------

HAT = Presence("hat", {"no": False, "yes": True}, 1.0)
WEARING = Roles({"hat": ("hat",)}, ("mouth",), {"hat": (HAT,)})
HATS = {("a", "yes"): 30, ("a", "no"): 4, ("b", "yes"): 4, ("b", "no"): 30}


def worn(train):
    return {"hat": train["hat"] == "yes"}


def test_presence_attributes_are_inserted_and_removed():
    train, edits, planned, _ = plan(HATS, WEARING, ("hat",), worn)
    assert (planned["reason"] == "").all()
    put_on = of_group(edits, "b", "yes")
    assert set(put_on.loc[put_on["direction"] == "swap_attribute", "operator"]) == {"insert"}
    taken_off = of_group(edits, "a", "no")
    removed = taken_off[taken_off["direction"] == "swap_attribute"]
    assert set(removed["operator"]) == {"remove"}
    assert (train.loc[removed["host_id"], "hat"] == "yes").all()
    assert (train.loc[removed["donor_id"], "hat"] == "no").all()
    # Who puts a hat on keeps the colors of the rest, and who exchanges one as well.
    moved = edits[edits["nodes"].str[0] == "hat"]
    assert (moved["recolored_nodes"].str.len() == 0).all()


def test_hosts_whose_segment_contradicts_their_attribute_are_left_out():
    def mistaken(train):
        has = (train["hat"] == "yes").to_numpy(copy=True)
        has[0], has[-1] = False, True  # a hat that is not seen, and one that is not named
        return {"hat": has}

    _, edits, _, _ = plan(HATS, WEARING, ("hat",), mistaken)
    moved = edits[edits["nodes"].str[0] == "hat"]
    moved = moved[moved["direction"] == "swap_attribute"]
    assert not set(moved["host_id"]) & {"image-0", "image-67"}
    assert not set(moved["donor_id"]) & {"image-0", "image-67"}


def test_a_label_that_is_a_presence_is_inserted_and_removed():
    roles = Roles({"tone": ("hair",)}, ("hat",), {}, (Presence("hat", {"a": True, "b": False}, 1),))
    _, edits, _, _ = plan(BIASED, roles, present=lambda t: {"hat": t["label"] == "a"})
    for label, operator in (("a", "insert"), ("b", "remove")):
        own = edits[(edits["label"] == label) & (edits["direction"] == "swap_label")]
        assert set(own["operator"]) == {operator}


# --- several labels and attributes, missing values
# --------------------------------------------------


def test_two_attributes_move_together_and_leave_the_third_value_alone():
    counts = {
        ("a", "x", "p"): 30,
        ("a", "y", "q"): 3,
        ("b", "x", "q"): 30,
        ("b", "y", "p"): 30,
        ("c", "y", "q"): 20,
    }
    roles = Roles({"tone": ("hair",), "place": ("background",)}, ())
    train, edits, planned, _ = plan(counts, roles, ("tone", "place"), budget=10)
    assert len(planned) == 12
    for edit in edits[edits["direction"] == "swap_attribute"].to_dict("records"):
        host, donor = train.loc[edit["host_id"]], train.loc[edit["donor_id"]]
        result = dict(host)
        for attribute, leaf in (("tone", "hair"), ("place", "background")):
            if leaf in edit["nodes"]:
                result[attribute] = donor[attribute]
        assert [result["label"], result["tone"], result["place"]] == [
            edit["label"],
            *edit["attributes"],
        ]


def test_a_leaf_that_carries_two_attributes_takes_both_from_the_donor():
    roles = Roles({"tone": ("hair",), "length": ("hair",)}, ())
    counts = {("a", "x", "p"): 20, ("b", "y", "p"): 20, ("b", "y", "q"): 20, ("a", "x", "q"): 5}
    train, edits, _, _ = plan(counts, roles, ("tone", "length"))
    for edit in edits[edits["direction"] == "swap_attribute"].to_dict("records"):
        assert train.loc[edit["donor_id"], ["tone", "length"]].tolist() == edit["attributes"]


@pytest.mark.parametrize("missing", [None, float("nan"), "", "(missing)"])
def test_records_without_a_attribute_are_counted_and_never_hosts(missing):
    counts = {**BIASED, ("a", missing): 7}
    train, edits, planned, remarks = plan(counts)
    assert planned["n_real"].sum() == 88
    unknown = set(train.index[88:])
    assert not unknown & set(edits["host_id"])
    moved = edits[edits["direction"] == "swap_attribute"]
    assert not unknown & set(moved["donor_id"])
    assert any(line.startswith("7 train records have no value") for line in remarks)


def test_no_record_with_a_attribute_is_no_error():
    _, edits, planned, remarks = plan({("a", None): 7, ("b", None): 7})
    assert edits.empty
    assert planned.empty
    assert any("nothing can be planned" in line for line in remarks)


# --- what cannot be reached ---------------------------------------------------------------------


def test_unreachable_groups_say_why():
    _, edits, planned, _ = plan(BIASED, roles=Roles({"tone": ()}, ()))
    assert edits.empty
    row = planned.loc["letter=a · tone=y"]
    assert row["reason"] == "no_node"
    assert "no node encodes tone" in row["note"]
    assert row["n_reached"] == row["n_real"] == 4


def test_a_value_that_occurs_once_gives_its_share_and_says_so():
    _, _edits, planned, remarks = plan(
        {("a", "x"): 20, ("b", "y"): 20, ("b", "x"): 1, ("a", "z"): 1}
    )
    assert len(planned) == 6
    row = planned.loc["letter=b · tone=z"]
    assert row["reason"] == "donor_share"
    assert "1 donor for swap_attribute and 1 host for swap_label" in row["note"]
    assert row["n_reached"] < row["n_target"]
    assert "tone z occurs in a single train record" in remarks


def test_empty_group_is_filled():
    _, edits, _, _ = plan({("a", "x"): 20, ("b", "y"): 20})
    assert len(of_group(edits, "a", "y")) >= 20


def test_no_budget_is_no_error():
    _, edits, planned, remarks = plan(BIASED, budget=0)
    assert edits.empty
    assert planned.loc["letter=a · tone=y", "reason"] == "budget"
    assert "the budget is 0: nothing is planned" in remarks


def test_all_records_in_one_group_is_no_error():
    _, edits, planned, remarks = plan({("a", "x"): 12})
    assert edits.empty
    assert planned["n_reached"].tolist() == [12]
    assert any("all train records are in one group" in line for line in remarks)


def test_group_whose_hosts_lack_the_segment_says_so():
    _, edits, planned, _ = plan(
        BIASED, Roles({"tone": ("hair",)}, ()), present=lambda t: {"hair": np.zeros(len(t))}
    )
    assert edits.empty
    assert planned.loc["letter=a · tone=y", "reason"] == "no_donor"


def test_recoloring_alone_cannot_move_a_label():
    _, edits, planned, _ = plan(BIASED, Roles({"tone": ()}, ("mouth",)), operators=["recolor"])
    assert edits.empty
    assert planned.loc["letter=a · tone=y", "reason"] in ("no_operator", "no_host")


def test_quotas_below_what_is_there_are_said():
    quotas = {"quotas": {"a": {"x": 10, "y": 30}}}
    _, _edits, planned, _ = plan(BIASED, target=quotas, within_group=0)
    over = planned.loc["letter=a · tone=x"]
    assert (over["reason"], over["n_target"], over["n_reached"]) == ("above_target", 10, 40)
    assert "30 more than the target" in over["note"]
    assert planned.loc["letter=a · tone=y", "n_reached"] == 30
    # Groups without a quota keep what they have.
    untouched = planned.loc["letter=b · tone=y"]
    assert untouched["n_target"] == untouched["n_reached"] == 40


# --- invariants ---------------------------------------------------------------------------------

COUNTS = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", "z", None])),
    st.integers(1, 30),
    min_size=1,
)


# Shrinking takes minutes and the examples are small as they are.
@hypothesis_settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    counts=COUNTS,
    budget=st.sampled_from([0, 0.1, 0.5, 1.5, 4]),
    share=st.sampled_from([0.02, 0.05, 0.3, 1.0]),
    target=st.sampled_from(["equal", "independent", {"quotas": {"a": {"x": 50}}}]),
    carriers=st.sampled_from([ROLES, Roles({"tone": ("background",)}, ()), Roles({}, ("mouth",))]),
)
@example(
    # More is asked for than three hosts can give.
    counts={("c", "y"): 13, ("b", "z"): 17, ("b", "y"): 19, ("b", "x"): 3, ("a", "z"): 29}
    | {("a", "y"): 3},
    budget=4,
    share=0.05,
    target="independent",
    carriers=ROLES,
)
def test_invariants(counts, budget, share, target, carriers):
    train, edits, planned, remarks = plan(
        counts, carriers, budget=budget, donor_share=share, target=target
    )
    known = train[train["tone"].notna()]
    added = planned["n_reached"] - planned["n_real"]
    assert (added >= 0).all()
    assert added.tolist() == planned["n_wanted"].tolist()
    assert added.sum() <= budget * len(train)
    assert planned["n_real"].sum() == len(known)
    assert set(edits["host_id"]) <= set(known.index)
    assert set(edits["donor_id"]) <= set(train.index)
    for row in planned.to_dict("records"):
        keys = list(zip(edits["label"], edits["attributes"].map(tuple), strict=True))
        wanted_key = (row["label"], tuple(row["attributes"]))
        own = edits[np.array([key == wanted_key for key in keys], bool)]
        for within_group, wanted in ((False, row["n_balancing"]), (True, row["n_within_group"])):
            part = own[(own["direction"] == "within_group") == within_group]
            part = part[part["direction"] != "identity"]
            asked = max(wanted, row["n_real"] if within_group else row["n_missing"])
            cap = max(int(np.ceil(share * asked - 1e-9)), 1)
            for column in ("host_id", "donor_id"):
                assert part[column].value_counts().max() <= cap or part.empty
            assert wanted > 0 or part.empty
        reached_target = row["n_reached"] >= row["n_target"]
        assert reached_target or row["reason"] in (
            "budget", "no_host", "no_donor", "no_node", "donor_share", "no_operator"
        )  # fmt: skip
        assert bool(row["reason"]) == bool(row["note"])
    # Recombined samples make up as much of every label's records, or the plan says so.
    aimed = planned[planned["n_target"] > 0]
    if added.sum() and not any("gets fewer recombined" in line for line in remarks):
        sums = aimed.groupby("label")[["n_real", "n_reached"]].sum()
        shares = (1 - sums["n_real"] / sums["n_reached"])[sums["n_reached"] > 0]
        assert shares.min() >= 0.8 * shares.max() - 1e-9


def test_labels_of_unlike_frequency_are_recombined_alike():
    """More samples of the label with more records are no mark of it."""
    counts = {("a", "x"): 180, ("a", "y"): 8, ("b", "x"): 8, ("b", "y"): 120}
    _, _, planned, remarks = plan(counts, budget=4)
    sums = planned.groupby("label")[["n_real", "n_reached"]].sum()
    shares = 1 - sums["n_real"] / sums["n_reached"]
    assert shares.max() - shares.min() < 0.1
    assert not any("recombined tells" in line for line in remarks)


@pytest.mark.parametrize("association", [40, 0])
def test_attributes_of_several_values_with_empty_groups(association):
    """Most groups of three labels, three and two values are empty; none is lost."""
    values = [("a", "x", "p"), ("b", "y", "q"), ("c", "z", "q")]
    counts = dict.fromkeys(values, 12) | {("a", "z", "p"): 1, ("c", "x", "p"): association}
    roles = Roles({"tone": ("hair",), "place": ("background",)}, ("mouth",))
    train, edits, planned, _ = plan(counts, roles, ("tone", "place"))
    assert len(planned) == 18
    assert planned["n_real"].sum() == len(train)
    short = planned[planned["n_reached"] < planned["n_target"]]
    assert (short["reason"] != "").all()
    assert len(edits) > 0


def test_a_group_is_short_of_pairs_or_of_shares_and_says_which():
    # One host for b=y's mouth and two donors: two samples, whatever an image may give.
    roles = Roles({"tone": ()}, ("mouth",))
    counts = {("a", "x"): 40, ("a", "y"): 1, ("b", "x"): 2}
    for share, made, reason, words in (
        (1, 2, "no_donor", "1 host with 2 donors for swap_label give no more different samples"),
        (0.01, 1, "donor_share", "1 host for swap_label, at most 1 sample each"),
    ):
        settings = {"donor_share": share, "operators": ["transplant"], "within_group": 0}
        _, edits, planned, _ = plan(counts, roles, **settings)
        group = planned.loc["letter=b · tone=y"]
        assert len(of_group(edits, "b", "y")) == made
        assert (group["reason"], words in group["note"]) == (reason, True)


def test_a_plan_says_where_being_recombined_will_tell_the_label():
    *_, remarks = plan(BIASED, within_group=0)
    assert any("being recombined is predictive of the label there" in r for r in remarks)
    *_, remarks = plan(BIASED)
    assert not any("predictive of the label there" in r for r in remarks)
