"""Operators: each makes a recombined image from a host and a donor.

An operator that comes with HEML is a module of `heml.recombination.operators`; another distribution
gives one by an entry point of the group `heml.operators`. Operators import torch only when they
compute: plans and reports ask them without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from data_contracts.rebalance_plan import OPERATOR_NAMES
from heml.parts.registry import Registry

if TYPE_CHECKING:
    import torch

    from heml.recombination.edit import Edit
    from heml.recombination.imaging.segmented_image import Recombined
    from heml.taxonomy import Taxonomy


@dataclass(frozen=True)
class Move:
    """What an edit is to bring about, before an operator is chosen.

    Parameters
    ----------
    direction : str
        Of the `rebalance_plan` contract.
    nodes : tuple of str
        Leaves that are exchanged.
    hosts, donors : bool array (N,)
        Train records whose label and attributes fit.
    has : bool array (N,)
        Records that have any of the nodes.
    presence : bool
        Whether presence or absence of a node is the value that changes.
    vanishes : bool
        Whether the value to be reached is the absence of all nodes.
    background : bool
        Whether what lies behind all else is exchanged.
    """

    direction: str
    nodes: tuple[str, ...]
    hosts: np.ndarray
    donors: np.ndarray
    has: np.ndarray
    presence: bool = False
    vanishes: bool = False
    background: bool = False


class Fitting(NamedTuple):
    """Records that an operator can work on, bool arrays (N,)."""

    hosts: np.ndarray
    donors: np.ndarray


class Prepared(Protocol):
    """One edit, ready to compute: edits of one key are computed together.

    `key` begins with height and width of the window.
    """

    @property
    def key(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Operator:
    """One kind of recombination.

    Parameters
    ----------
    name : str
        In recipes and tables.
    rank : int
        Place in reports, the lowest first.
    words : str
        What reports call it, as a noun: "insertion".
    description : str
        One sentence.
    feasible : callable
        The hosts and donors that it can work on for a move; None if it cannot make the move.
    prepare : callable
        From an edit, what `compute` takes; None for nothing to do, which gives the host.
    compute : callable
        Recombined images of prepared edits of one key, in their order.
    seam_weight : float
        How much of its outline shows, against that of a pasted segment.
    covers : bool
        Whether it covers or fills area, which costs.
    moves_pixels : bool
        Whether it brings shape and texture, or color alone.
    exchange : str
        Operator that stands for it between two records of one group, or of an image with itself,
        where both have the segment or neither has. Empty: itself.
    """

    name: str
    rank: int
    words: str
    description: str
    feasible: Callable[[Move], Fitting | None]
    prepare: Callable[[Edit, Taxonomy], Prepared | None]
    compute: Callable[[Sequence[Any], Taxonomy, torch.device], list[Recombined]]
    seam_weight: float = 1.0
    covers: bool = True
    moves_pixels: bool = True
    exchange: str = ""


OPERATORS: Registry[Operator] = Registry(
    "operator", "heml.recombination.operators", "heml.operators"
)
OPERATOR_NAMES.provided_by(OPERATORS.names)
