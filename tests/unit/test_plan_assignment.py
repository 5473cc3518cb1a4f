"""Hosts and donors of one group's edits: none fewer than there can be, at the lowest cost."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heml.recombination.plan.assignment import Assignment
from heml.recombination.plan.assignment_flow import cheapest_edits, most_edits
from heml.recombination.plan.candidates import EditCandidate
from heml.recombination.plan.layout import Layouts
from heml.recombination.rebalance_settings import RebalanceSettings
from tests.unit.test_plan import plan

LEAVES = ("hair", "mouth")


def candidate(hosts, donors, node="mouth", cost=1.0) -> EditCandidate:
    rows = np.array(sorted(hosts), int), np.array(sorted(donors), int)
    return EditCandidate("swap_label", "transplant", (node,), *rows, cost)


def layouts(count: int) -> Layouts:
    boxes = np.full((count, len(LEAVES), 4), 0.5, np.float32)
    areas = np.full((count, len(LEAVES)), 0.1, np.float32)
    return Layouts([str(row) for row in range(count)], LEAVES, boxes, areas)


def assigned(candidates, cap, total, count=8, seed=0):
    assignment = Assignment(layouts(count), cap, np.random.default_rng(seed))
    assignment.fill([(candidates, total)])
    return assignment.edits


def no_mismatch(_candidate, _host, donors):
    return np.zeros(len(donors))


@pytest.mark.parametrize("seed", range(10))
def test_a_host_that_only_one_candidate_can_use_is_left_to_it(seed):
    # Two edits fit only if the mouth is moved onto 1 and the hair onto 0.
    mouth, hair = candidate([0, 1], [2]), candidate([0], [3], "hair")
    found = {(e.candidate.nodes, e.host, e.donor) for e in assigned([mouth, hair], 1, 2, seed=seed)}
    assert found == {(("mouth",), 1, 2), (("hair",), 0, 3)}


@pytest.mark.parametrize("seed", range(10))
def test_no_donor_is_used_up_that_a_host_needs(seed):
    # Host 0 has one donor that is not itself. A draw that gives it to 2 leaves 0 without any.
    found = {(e.host, e.donor) for e in assigned([candidate([0, 2], [0, 1])], 1, 2, seed=seed)}
    assert found == {(0, 1), (2, 0)}


def test_cheap_candidates_and_fitting_donors_come_first():
    dear, cheap = candidate([0], [2, 3], cost=5), candidate([0], [2, 3], "hair", cost=1)

    def mismatch(_candidate, _host, donors):
        return np.where(donors == 3, 0.0, 0.5)

    pairs = cheapest_edits([dear, cheap], 1, 1, mismatch, np.random.default_rng(0))
    assert [pairs.candidates.tolist(), pairs.hosts.tolist(), pairs.donors.tolist()] == [
        [1], [0], [3],
    ]  # fmt: skip


def test_what_must_be_dear_is_as_cheap_as_it_can_be():
    # Both hosts want donor 2. Who pays least for the other one takes it: 0 with 3, 1 with 2.
    prices = {(0, 2): 0.0, (0, 3): 0.1, (1, 2): 0.0, (1, 3): 1.0}

    def mismatch(_candidate, host, donors):
        return np.array([prices[host, int(donor)] for donor in donors])

    pairs = cheapest_edits([candidate([0, 1], [2, 3])], 1, 2, mismatch, np.random.default_rng(0))
    assert set(zip(pairs.hosts.tolist(), pairs.donors.tolist(), strict=True)) == {(0, 3), (1, 2)}


def largest(candidates, cap: int, total: int, count: int) -> int:
    """Size of the largest assignment, by trying all."""
    pairs = [(h, d) for c in candidates for h in c.hosts for d in c.donors if h != d]

    @cache
    def best(place: int, hosts: tuple[int, ...], donors: tuple[int, ...]) -> int:
        if place == len(pairs):
            return 0
        found = best(place + 1, hosts, donors)
        host, donor = pairs[place]
        if hosts[host] < cap and donors[donor] < cap:
            more = [list(hosts), list(donors)]
            more[0][host] += 1
            more[1][donor] += 1
            found = max(found, 1 + best(place + 1, tuple(more[0]), tuple(more[1])))
        return found

    return min(best(0, (0,) * count, (0,) * count), total)


ROWS = st.sets(st.integers(0, 4), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.tuples(ROWS, ROWS), st.tuples(ROWS, ROWS), st.integers(1, 2), st.integers(1, 8))
def test_no_assignment_is_larger(first, second, cap, total):
    candidates = [candidate(*first), candidate(*second, node="hair")]
    edits = assigned(candidates, cap, total, count=5)
    assert len(edits) == largest(candidates, cap, total, 5)
    assert len(edits) == most_edits(candidates, cap, total, np.random.default_rng(0))
    for rows in ([e.host for e in edits], [e.donor for e in edits]):
        assert max(np.bincount(rows), default=0) <= cap
    assert len({(e.candidate.nodes, e.host, e.donor) for e in edits}) == len(edits)
    for edit in edits:
        assert edit.host != edit.donor
        assert edit.host in edit.candidate.hosts
        assert edit.donor in edit.candidate.donors


def test_many_hosts_with_few_donors_use_every_donor_to_its_share():
    own = candidate(range(300), range(300, 305))
    assert most_edits([own], 3, 100, np.random.default_rng(0)) == 15
    pairs = cheapest_edits([own], 3, 100, no_mismatch, np.random.default_rng(0))
    assert np.bincount(pairs.donors)[300:].tolist() == [3] * 5


def test_same_seed_same_assignment():
    own = [candidate(range(5), range(3, 8)), candidate(range(4), range(2, 6), "hair")]
    assert assigned(own, 2, 14) == assigned(own, 2, 14)


#: Small sets in which the number of samples once fell, or rose, by a factor of up to eight when a
#: record joined the last group.
EDGES = [(10, 24, 20, 18), (29, 11, 26, 12), (15, 15, 29, 21), (22, 6, 23, 16), (4, 10, 6, 14)]


@pytest.mark.parametrize("counts", EDGES)
def test_a_record_more_changes_the_number_of_samples_by_a_little(counts):
    def wanted(*numbers):
        keys = [(label, tone) for label in "ab" for tone in "xy"]
        _, _, planned, _ = plan(dict(zip(keys, numbers, strict=True)))
        assert (planned["n_planned"] >= planned["n_wanted"]).all()
        return planned["n_wanted"].sum()

    before, after = wanted(*counts), wanted(*counts[:-1], counts[-1] + 1)
    assert abs(after - before) <= 0.15 * before
    # The budget is the limit in these sets, not hosts or donors.
    records = sum(counts)
    assert before > 0.8 * 5 * records > 0
    assert before <= RebalanceSettings().min_synthetic
