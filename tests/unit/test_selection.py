"""Weights of the dataset's rows, by hand."""

from collections import Counter

import pandas as pd
import pytest

from heml.dataset.selection import Selection
from heml.images.groups import combined, group_codes, group_name

OPEN, CLOSED = ("open", "light"), ("closed", "light")


def selection(**targets):
    return Selection(
        real=Counter({OPEN: 30, CLOSED: 10}),
        recombined=Counter({CLOSED: 10}),
        targets={OPEN: targets["open"], CLOSED: targets["closed"]} if targets else {},
    )


def mass(weights, group):
    weight, chosen = weights[group], selection()
    return chosen.real[group] * weight.real + chosen.recombined[group] * weight.recombined


def test_groups_of_equal_targets_weigh_the_same():
    weights = selection(open=30, closed=30).weights()
    masses = mass(weights, OPEN), mass(weights, CLOSED)
    assert masses[0] == pytest.approx(masses[1])
    assert sum(masses) == pytest.approx(50)


def test_groups_weigh_as_their_targets():
    """Two thirds and one third of 50 rows."""
    weights = selection(open=40, closed=20).weights()
    assert mass(weights, OPEN) == pytest.approx(50 * 2 / 3)
    assert mass(weights, CLOSED) == pytest.approx(50 / 3)


def test_groups_that_no_plan_knows_keep_their_share():
    weights = selection().weights()
    assert mass(weights, OPEN) == pytest.approx(30)
    assert mass(weights, CLOSED) == pytest.approx(20)


#: An attribute that mostly comes with `open`: 6 real images of the other label, and what was made.
SCARCE = Selection(
    real=Counter({("open", "dark"): 120, ("closed", "dark"): 6, ("open", "light"): 40}),
    recombined=Counter({("open", "dark"): 240, ("closed", "dark"): 480, ("open", "light"): 10}),
)


def share_of_real(chosen, group):
    weight = chosen.weights()[group]
    real = chosen.real[group] * weight.real
    return real / (real + chosen.recombined[group] * weight.recombined)


def test_being_real_tells_no_label_within_a_attribute():
    """Six of 486 may count eight times: 48 of 528; the other group's 120 follow."""
    scarce, common = (share_of_real(SCARCE, (label, "dark")) for label in ("closed", "open"))
    assert scarce == pytest.approx(48 / 528)
    assert common == pytest.approx(scarce)
    # With one label nothing can be told: rows weigh the same.
    alone = SCARCE.weights()["open", "light"]
    assert alone.real == pytest.approx(alone.recombined)


def test_rows_weigh_at_least_an_eighth_of_one_another():
    apart = Selection(
        real=Counter({("open", "dark"): 100, ("closed", "dark"): 1}),
        recombined=Counter({("open", "dark"): 100, ("closed", "dark"): 1000}),
    )
    scarce, common = apart.weights()["closed", "dark"], apart.weights()["open", "dark"]
    assert scarce.real == pytest.approx(8 * scarce.recombined)
    assert common.real == pytest.approx(common.recombined / 8)


def test_a_label_without_real_rows_is_no_error():
    """Nothing can make its share that of the others."""
    none = Selection(
        real=Counter({("open", "dark"): 10}),
        recombined=Counter({("open", "dark"): 10, ("closed", "dark"): 20}),
    )
    weights = none.weights()
    assert weights["closed", "dark"].recombined == pytest.approx(1.0)
    assert weights["open", "dark"].real == pytest.approx(weights["open", "dark"].recombined / 8)


def test_without_weighing_the_rows_of_a_group_are_alike():
    even = Selection(SCARCE.real, SCARCE.recombined, by_origin=False)
    assert all(w.real == pytest.approx(1) for w in even.weights().values())


def test_groups_of_values_that_hold_a_separator_differ():
    frame = pd.DataFrame({"label": ["a · b", "a"], "tone": ["c", "b · c"]})
    codes, words = group_codes(frame, ["label", "tone"])
    assert len(set(codes)) == len(words) == 2
    assert len(set(combined(frame, ["label", "tone"]))) == 2
    pairs = (("a · tone=b", ["c"]), ("a", ["b · tone=c"]))
    assert len({group_name("label", label, ["tone"], values) for label, values in pairs}) == 2
    times = pd.DataFrame({"label": ["a × b", "a"], "tone": ["c", "b × c"]})
    assert len(set(combined(times, ["label", "tone"]))) == 2
    assert group_name("label", "a", ["tone"], ["b"]) == "label=a · tone=b"
