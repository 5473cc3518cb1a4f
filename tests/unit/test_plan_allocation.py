"""Targets, budget, within-group samples and quotas by hand."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from heml.recombination.plan.allocation import (
    budget_of,
    count_groups,
    wanted_balancing,
    wanted_min_synthetic,
    wanted_within_group,
)
from heml.recombination.plan.quotas import QuotaError, check_values, quota_problems, quota_targets
from heml.recombination.plan.targets import group_targets
from heml.recombination.rebalance_settings import Quotas, RebalanceSettings


def groups(*counts: int) -> pd.DataFrame:
    """Groups a·x, a·y, b·x, b·y, c·x, ..."""
    keys = [(label, attribute) for label in "abc" for attribute in "xy"][: len(counts)]
    return pd.DataFrame(
        {"label": [k[0] for k in keys], "attributes": [[k[1]] for k in keys], "n": counts}
    )


def quotas(content) -> Quotas:
    target = RebalanceSettings(target={"quotas": content}).target
    assert isinstance(target, Quotas)
    return target


def test_equal_is_the_largest_group():
    assert group_targets(groups(40, 4, 4, 40), "equal").tolist() == [40] * 4


def test_independent_keeps_the_margins():
    # Labels 60:30, attributes 60:30. What fits without removing is 2:1 in both: 50 is the binding
    # group.
    target = group_targets(groups(50, 10, 10, 20), "independent")
    assert target.tolist() == [80, 40, 40, 20]
    table = target.reshape(2, 2)
    assert table[0, 0] * table[1, 1] == table[0, 1] * table[1, 0]


def test_independent_data_need_nothing():
    assert group_targets(groups(20, 10, 40, 20), "independent").tolist() == [20, 10, 40, 20]


def test_attributes_that_never_occur_stay_empty_when_independent():
    assert group_targets(groups(20, 0, 10, 0), "independent").tolist() == [20, 0, 10, 0]


def test_quotas_are_counts_and_shares():
    counts = groups(40, 4, 4, 40)
    assert quota_targets(counts, quotas({"a": {"x": 50, "y": 20}})).tolist() == [50, 20, 4, 40]
    # Half of all: the others hold 48, so 48 more.
    assert quota_targets(counts, quotas({"a": {"x": "50%"}})).tolist() == [48, 4, 4, 40]
    all_shares = {"a": {"x": "40%", "y": "10%"}, "b": {"x": "10%", "y": "40%"}}
    assert quota_targets(counts, quotas(all_shares)).tolist() == pytest.approx([40, 10, 10, 40])


def test_full_shares_beside_other_records_cannot_be_met_and_do_not_divide_by_zero():
    target = quota_targets(groups(40, 4, 4, 40), quotas({"a": {"x": "100%"}}))
    assert np.isfinite(target).all()


def test_short_budget_goes_to_what_is_scarcest():
    wanted = wanted_balancing(groups(40, 10, 0, 40), RebalanceSettings(budget=0.5), records=90)
    # 45 samples: label b's groups get as many as label a's, here within their groups.
    assert wanted["n_balancing"].tolist() == [0, 12, 22, 0]


def test_capacity_leaves_the_budget_to_others():
    settings = RebalanceSettings(budget=0.5, within_group=0)
    free = wanted_balancing(groups(40, 10, 10, 40), settings, 100)
    held = wanted_balancing(groups(40, 10, 10, 40), settings, 100, np.array([40, 40, 3, 40]))
    assert free["n_balancing"].tolist() == [0, 25, 25, 0]
    assert held["n_balancing"].tolist() == [0, 25, 3, 0]


def test_within_group_by_hand():
    filled = wanted_balancing(groups(40, 4, 4, 40), RebalanceSettings(), records=88)
    assert filled["n_balancing"].tolist() == [0, 36, 36, 0]
    fill = filled["n_balancing"].to_numpy()
    # Half of what the neediest group gets.
    assert wanted_within_group(filled, fill, RebalanceSettings(), 88).tolist() == [18, 0, 0, 18]
    # 88 - 72 = 16 are left of a budget of one per record.
    assert wanted_within_group(filled, fill, RebalanceSettings(budget=1), 88).tolist() == [
        8,
        0,
        0,
        8,
    ]
    assert (
        wanted_within_group(filled, fill, RebalanceSettings(within_group=0), 88).tolist() == [0] * 4
    )


def test_within_group_samples_make_up_for_a_label_that_gets_nothing_else():
    filled = wanted_balancing(
        groups(30, 30, 40, 10), RebalanceSettings(within_group=0.1, budget=5), 110
    )
    fill = np.array([0, 0, 0, 30])
    within_group = wanted_within_group(
        filled, fill, RebalanceSettings(within_group=0.1, budget=5), 110
    )
    assert within_group[:2].sum() == fill[2:].sum() + within_group[2:].sum()


def test_min_synthetic_by_hand():
    filled = wanted_balancing(groups(40, 4, 4, 40), RebalanceSettings(), records=88)
    made, room = np.array([18, 36, 36, 18]), np.full(4, 9999)
    # 440 samples, 220 a label: 98 records and samples become 264, half of them in each group.
    extra = wanted_min_synthetic(filled, made, room, RebalanceSettings(budget=5), 88)
    assert extra.tolist() == [132 - 58, 132 - 40, 132 - 40, 132 - 58]
    fewer = wanted_min_synthetic(filled, made, room, RebalanceSettings(min_synthetic=200), 88)
    assert (made + fewer).sum() == 200
    # Twice as many real records, twice as many recombined ones.
    filled = wanted_balancing(groups(80, 40, 4, 56), RebalanceSettings(), records=180)
    extra = wanted_min_synthetic(filled, np.zeros(4, int), room, RebalanceSettings(budget=1), 180)
    assert [extra[:2].sum(), extra[2:].sum()] == [120, 60]
    for none in ({"min_synthetic": 100}, {"within_group": 0}, {"budget": 1}):
        assert not wanted_min_synthetic(filled, made, room, RebalanceSettings(**none), 88).any()


def test_small_datasets_get_more():
    def most(records: int, **settings) -> int:
        return budget_of(RebalanceSettings(**settings), records)

    assert [most(100), most(1000), most(10_000)] == [500, 2000, 15_000]
    assert most(100, min_synthetic=0) == 150
    assert most(100, budget=0.5) == 50


def test_min_synthetic_leaves_no_label_behind_and_no_group_beyond_its_quota():
    filled = wanted_balancing(groups(40, 4, 4, 40), RebalanceSettings(), records=88)
    made = np.array([18, 36, 36, 18])
    no_room = np.array([0, 0, 9999, 9999])
    assert not wanted_min_synthetic(filled, made, no_room, RebalanceSettings(), 88).any()
    one = np.array([0, 9999, 9999, 9999])
    extra = wanted_min_synthetic(filled, made, one, RebalanceSettings(), 88)
    assert extra[0] == 0
    assert extra[1] == extra[2:].sum()
    settings = RebalanceSettings(target={"quotas": {"a": {"y": 0}}})
    filled = wanted_balancing(groups(40, 4, 4, 40), settings, records=88)
    extra = wanted_min_synthetic(filled, np.zeros(4, int), np.full(4, 9999), settings, 88)
    assert extra[1] == 0
    assert extra[[0, 2, 3]].all()


def test_records_without_a_attribute_are_in_no_group():
    train = pd.DataFrame({"label": list("aabb"), "tone": ["x", None, "", "y"]})
    assert count_groups(train, "l", ["tone"])["n"].tolist() == [1, 0, 0, 1]


# --- naming quotas ------------------------------------------------------------------------------


def test_numbers_as_values_are_text():
    assert quotas({1: {0: 5, "yes": "12.5 %"}}).quotas == {"1": {"0": 5, "yes": 0.125}}


def test_settings_survive_their_own_dump():
    settings = RebalanceSettings(target={"quotas": {"a": {"x": 5, "y": "10%"}}})
    assert RebalanceSettings.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("equl", "did you mean 'equal'"),
        ({"quota": {}}, "the one key 'quotas'"),
        ({"quotas": {}}, "must map label values"),
        ({"quotas": {True: {"x": 1}}}, "quotas.True: put the value in quotes"),
        ({"quotas": {"a": {"x": -1}}}, "quotas.a.x: must be a number of records"),
        ({"quotas": {"a": {"x": "120%"}}}, "found '120%'"),
        ({"quotas": {"a": {}}}, "quotas.a: must be a number of records"),
        (3, "must be equal, independent or a mapping"),
    ],
)
def test_unusable_targets_are_refused(target, message):
    with pytest.raises(ValidationError, match=message.replace(".", r"\.")):
        RebalanceSettings(target=target)


def test_depth_and_sum_are_checked_without_data():
    deep = list(quota_problems(quotas({"a": {"x": {"p": 1}}, "b": 3}), "mouth", ["tone"]))
    assert [path for path, _ in deep] == [("a", "x", "p"), ("b",)]
    assert "value of mouth → value of tone" in deep[0][1]
    (over,) = quota_problems(quotas({"a": {"x": "60%", "y": "50%"}}), "mouth", ["tone"])
    assert "add up to 110%" in over[1]


def test_unknown_values_are_refused_with_the_nearest():
    known = [["closed", "open"], ["dark", "light"]]
    check_values(quotas({"open": {"light": 5}}), "mouth", ["tone"], known)
    with pytest.raises(QuotaError) as error:
        check_values(quotas({"opne": {"ligth": 5}}), "mouth", ["tone"], known)
    assert str(error.value) == (
        "rebalance.target.quotas.opne: no train record has mouth 'opne'; did you mean 'open'?; "
        "rebalance.target.quotas.opne.ligth: no train record has tone 'ligth'; did you mean "
        "'light'?"
    )


def test_the_label_with_the_least_room_bounds_the_others():
    filled = wanted_balancing(groups(40, 40, 40, 40), RebalanceSettings(), records=160)
    nothing, room = np.zeros(4, int), np.array([10, 20, 9999, 9999])
    # 30 samples fit label a, so label b, as large, gets 30 as well: 15 in each group.
    extra = wanted_min_synthetic(filled, nothing, room, RebalanceSettings(), 160)
    assert extra.tolist() == [10, 20, 15, 15]
