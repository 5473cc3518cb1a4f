"""Gates: tests that every recombined sample must pass.

A gate that comes with HEML is a module of `heml.recombination.gates`; another distribution gives
one by an entry point of the group `heml.gates`. A gate says what it is without torch, and imports
what it measures with when it is fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from data_contracts import Column
from data_contracts.recombined_samples import GATE_COLUMNS
from heml.parts.registry import Registry

if TYPE_CHECKING:
    from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
    from heml.recombination.judging.calibration import Calibration
    from heml.tree.metric_tree import Embedded, MetricTree

#: Segments of images by class name, from pixels alone.
Resegment = Callable[[Sequence[np.ndarray]], Sequence[dict[str, np.ndarray]]]
#: Classes that are moved together.
Classes = tuple[str, ...]


@dataclass(frozen=True)
class GateBatch:
    """Samples to judge. What several gates ask is computed once.

    Parameters
    ----------
    samples : sequence of Recombined
    hosts, donors : sequence of SegmentedImage
    edits : sequence of mapping
        Rows of the `rebalance_plan` table.
    classes_of : callable
        Classes of a node.
    tree : MetricTree, optional
        Missing only where no gate asks for embeddings.
    nodes : sequence of str
        Nodes whose embeddings the gates need.
    resegment : callable, optional
    """

    samples: Sequence[Recombined]
    hosts: Sequence[SegmentedImage]
    donors: Sequence[SegmentedImage]
    edits: Sequence[Mapping[str, Any]]
    classes_of: Callable[[str], Sequence[str]]
    tree: MetricTree | None = None
    nodes: Sequence[str] = ()
    resegment: Resegment | None = None

    @cached_property
    def embedded(self) -> Embedded:
        """The samples in the metric tree."""
        assert self.tree is not None
        return self.tree.embed([(s.image, s.masks) for s in self.samples], list(self.nodes))

    @property
    def parents(self) -> list[list[str]]:
        """Host and donor of each sample, which never vote on it: it resembles them."""
        return [[e["host_id"], e["donor_id"]] for e in self.edits]

    @cached_property
    def moved(self) -> list[Classes]:
        """Classes that each edit exchanges."""
        return [moved_classes(edit["nodes"], self.classes_of) for edit in self.edits]

    @cached_property
    def found(self) -> Sequence[dict[str, np.ndarray]] | None:
        """Segments found again in each sample; None without a segmenter."""
        if self.resegment is None:
            return None
        return self.resegment([sample.image for sample in self.samples])


def moved_classes(nodes: Sequence[str], classes_of: Callable[[str], Sequence[str]]) -> Classes:
    """Classes of some nodes, in their order."""
    return tuple(c for node in nodes for c in classes_of(node))


class Judgment(NamedTuple):
    """What a gate says of one sample: its columns, and whether it refuses."""

    numbers: Mapping[str, float | None]
    refused: bool


class Observer:
    """Measures real images for a fitted gate, one after the other."""

    def see(self, segmented_image: SegmentedImage, found: dict[str, np.ndarray] | None) -> None:
        """One real image, and its segments found again where the observer needs them."""

    def close(self) -> None:
        """All were seen: sets the limits."""


class FittedGate:
    """A gate with its limits. Subclasses override what they need.

    Attributes
    ----------
    limits : object
        What was measured so far, picklable: other processes start from it.
    nodes : frozenset of str
        Nodes of the tree whose embeddings it needs.
    real_images : int
        How many real images its observer wants to see.
    needs_found : bool
        Whether its observer needs the segments found again.
    """

    limits: Any = None
    nodes: frozenset[str] = frozenset()
    real_images: int = 0
    needs_found: bool = False

    def observer(self, moved: Sequence[Classes]) -> Observer | None:
        """What measures the limits that edits of some classes still lack; None if none does."""
        return None

    def judge(self, batch: GateBatch) -> list[Judgment]:
        """Judgments of a batch, in its order."""
        raise TypeError(f"{type(self).__name__} must define judge")

    def describe(self) -> dict[str, Any]:
        """Limits, the share of real images that each refuses, and behind how many images."""
        return {}


@dataclass(frozen=True)
class Gate:
    """One test.

    Parameters
    ----------
    name : str
        A sample's reason where it refuses.
    rank : int
        Gates judge in this order; the first that refuses is a sample's reason.
    question : str
        What it asks, for the report.
    refusal : str
        What reports say of a sample that it refused.
    columns : tuple of Column
        What it adds to `recombined_samples`; all nullable.
    fit : callable
        From a calibration, and limits measured before (or None), the fitted gate; None where the
        dataset gives it nothing to test with.
    """

    name: str
    rank: int
    question: str
    refusal: str
    columns: tuple[Column, ...]
    fit: Callable[[Calibration, Any], FittedGate | None]


GATES: Registry[Gate] = Registry("gate", "heml.recombination.gates", "heml.gates")


def gate_columns() -> Iterable[Column]:
    """Columns of all gates, in their order."""
    return tuple(column for gate in GATES for column in gate.columns)


GATE_COLUMNS.provided_by(gate_columns)
