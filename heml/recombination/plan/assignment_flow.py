"""As many edits as hosts and donors allow, at the lowest cost: a min-cost flow.

Edits are pairs of a host and a donor of one candidate, each used once; every image is host of at
most `cap` edits, and donor of at most `cap`. Flow runs from hosts through pairs to donors, so the
constraints are those of a network, and a vertex solution of the linear program is integral.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from heml.recombination.plan.candidates import EditCandidate

#: Donors that are considered for each host at first, and hosts if no more are needed.
SAMPLED = 96
#: Pairs in all up to which every pair is considered, if those of the samples do not suffice.
ALL_PAIRS = 1_000_000

#: From a candidate, a host and donors, how badly each donor fits: float array.
Mismatch = Callable[[EditCandidate, int, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pairs:
    """Possible edits, columnwise.

    Parameters
    ----------
    candidates : int array (P,)
        Places in a sequence of candidates.
    hosts, donors : int array (P,)
        Rows of the train split.
    """

    candidates: np.ndarray
    hosts: np.ndarray
    donors: np.ndarray

    def __len__(self) -> int:
        return len(self.hosts)


def most_edits(
    candidates: Sequence[EditCandidate], cap: int, total: int, rng: np.random.Generator
) -> int:
    """How many edits can be assigned, up to `total`."""
    for candidate in candidates:
        # With k hosts and k donors, all pairs but those of an image with itself make up at least
        # k - 1 perfect matchings; each of them uses every image once.
        k = min(len(candidate.hosts), len(candidate.donors))
        if k * min(cap, k - 1) >= total:
            return total
    return _enough_pairs(candidates, cap, total, rng)[1]


def cheapest_edits(
    candidates: Sequence[EditCandidate],
    cap: int,
    total: int,
    mismatch: Mismatch,
    rng: np.random.Generator,
) -> Pairs:
    """Edits, as many as possible up to `total`, that cost least.

    Parameters
    ----------
    candidates : sequence of EditCandidate
        All different.
    cap : int
        Most edits that one image may be host, or donor, of.
    total : int
    mismatch : callable
        Added to a candidate's cost.
    rng : numpy.random.Generator
        Draws the hosts and donors that are considered where there are many.

    Returns
    -------
    Pairs
        The chosen ones. No assignment has more, unless there are more than `ALL_PAIRS` pairs.
    """
    pairs, most = _enough_pairs(candidates, cap, total, rng)
    if most == 0:
        return Pairs(*(np.zeros(0, int) for _ in range(3)))
    costs = np.array([c.cost for c in candidates], float)[pairs.candidates]
    # Pairs of one candidate and host are neighbors.
    starts = np.flatnonzero(
        np.r_[True, (np.diff(pairs.candidates) != 0) | (np.diff(pairs.hosts) != 0)]
    )
    for start, end in zip(starts, np.r_[starts[1:], len(pairs)], strict=True):
        candidate, host = candidates[pairs.candidates[start]], int(pairs.hosts[start])
        costs[start:end] += mismatch(candidate, host, pairs.donors[start:end])
    _, hosts = np.unique(pairs.hosts, return_inverse=True)
    _, donors = np.unique(pairs.donors, return_inverse=True)
    rows, columns = np.r_[hosts, donors + hosts.max() + 1], np.tile(np.arange(len(pairs)), 2)
    solution = linprog(
        costs,
        A_ub=csr_array((np.ones(len(rows)), (rows, columns))),
        b_ub=np.full(rows.max() + 1, cap),
        A_eq=np.ones((1, len(pairs))),
        b_eq=[most],
        bounds=(0, 1),
        method="highs-ds",
    )
    if solution.status != 0:
        raise RuntimeError(f"the assignment of hosts and donors failed: {solution.message}")
    chosen = solution.x > 0.5
    return Pairs(pairs.candidates[chosen], pairs.hosts[chosen], pairs.donors[chosen])


def _enough_pairs(
    candidates: Sequence[EditCandidate], cap: int, total: int, rng: np.random.Generator
) -> tuple[Pairs, int]:
    """Pairs among which as many edits can be assigned as among all, and that number."""
    needed = max(SAMPLED, -(-2 * total // cap))
    pairs = _pairs([_some(c.hosts, c.donors, needed, rng) for c in candidates])
    most = _maximum(pairs, cap, total)
    count = sum(len(c.hosts) * len(c.donors) for c in candidates)
    if most < total and len(pairs) < count <= ALL_PAIRS:
        pairs = _pairs([_all(c.hosts, c.donors) for c in candidates])
        most = _maximum(pairs, cap, total)
    return pairs, most


def _all(hosts: np.ndarray, donors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Host and donor of every pair, by host."""
    return np.repeat(hosts, len(donors)), np.tile(donors, len(hosts))


def _some(
    hosts: np.ndarray, donors: np.ndarray, needed: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of at most `needed` hosts, each with at most `SAMPLED` donors, all donors alike."""
    if len(hosts) > needed:
        hosts = np.sort(rng.choice(hosts, needed, replace=False))
    if len(donors) <= SAMPLED:
        return _all(hosts, donors)
    places = np.arange(len(hosts) * SAMPLED) % len(donors)
    return np.repeat(hosts, SAMPLED), rng.permutation(donors)[places]


def _pairs(sides: Sequence[tuple[np.ndarray, np.ndarray]]) -> Pairs:
    """Pairs of different images of all candidates."""
    nothing = np.zeros(0, int)
    columns = [(nothing, nothing, nothing)]
    for place, (hosts, donors) in enumerate(sides):
        different = hosts != donors
        candidate = np.full(int(different.sum()), place)
        columns.append((candidate, hosts[different], donors[different]))
    return Pairs(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def _maximum(pairs: Pairs, cap: int, total: int) -> int:
    """Most edits among pairs, up to `total`: the maximum flow from hosts to donors."""
    if not len(pairs):
        return 0
    hosts, host = np.unique(pairs.hosts, return_inverse=True)
    donors, donor = np.unique(pairs.donors, return_inverse=True)
    # Vertices: source, its limit, hosts, donors, sink. Equal pairs of several candidates add up.
    source, limit, sink = 0, 1, 2 + len(hosts) + len(donors)
    hosts, donors = 2 + np.arange(len(hosts)), 2 + len(hosts) + np.arange(len(donors))
    edges = [
        (np.array([source]), np.array([limit]), total),
        (np.full(len(hosts), limit), hosts, cap),
        (hosts[host], donors[donor], 1),
        (donors, np.full(len(donors), sink), cap),
    ]
    start, end = (np.concatenate([edge[side] for edge in edges]) for side in (0, 1))
    capacity = np.concatenate([np.full(len(edge[0]), edge[2], np.int32) for edge in edges])
    network = csr_array((capacity, (start, end)), shape=(sink + 1, sink + 1))
    return int(maximum_flow(network, source, sink).flow_value)
