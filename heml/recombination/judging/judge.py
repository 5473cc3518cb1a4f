"""All gates together: calibrating in one pass, judging a batch, the verdict on each sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heml.recombination.gate import (
    GATES,
    Classes,
    FittedGate,
    GateBatch,
    Judgment,
    Resegment,
    moved_classes,
)
from heml.recombination.imaging.image_reader import SegmentedImageReader
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.judging.calibration import Calibration
from heml.tree.metric_tree import MetricTree

#: Real images that are in memory together.
_BATCH = 32

#: Gives some real train images in batches, the same in every call.
RealImages = Callable[[int], Iterator[Sequence[SegmentedImage]]]
#: Gate → what it has measured, picklable.
MeasuredLimits = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Results of all gates for one sample.

    Parameters
    ----------
    numbers : dict of str to float or None
        The columns of all gates; None where a gate was skipped.
    refused_by : tuple of str
        Every gate that refused, in the order of the gates.
    """

    numbers: Mapping[str, float | None]
    refused_by: tuple[str, ...]

    @property
    def reason(self) -> str:
        """The first gate that refused, or nothing."""
        return self.refused_by[0] if self.refused_by else ""


class Gates:
    """All gates of one dataset.

    Parameters
    ----------
    gates : mapping of str to FittedGate
        By name, in their order.
    classes_of : callable
        Classes of a node.
    real : callable
    tree : MetricTree, optional
        Missing only where no gate asks for embeddings.
    resegment : callable, optional
        Segments of images from their pixels; without it no segment is looked for again.
    """

    def __init__(
        self,
        gates: Mapping[str, FittedGate],
        classes_of: Callable[[str], Sequence[str]],
        real: RealImages,
        tree: MetricTree | None = None,
        resegment: Resegment | None = None,
    ) -> None:
        self._gates = gates
        self._classes_of = classes_of
        self._real = real
        self._tree = tree
        self._resegment = resegment
        asked = {node for gate in gates.values() for node in gate.nodes}
        #: Nodes that no gate needs are not embedded.
        self._nodes = [] if tree is None else [n for n in tree.taxonomy.nodes if n in asked]

    @property
    def limits(self) -> MeasuredLimits:
        """What was measured so far: gates in other processes start from it."""
        return {name: gate.limits for name, gate in self._gates.items()}

    def calibrate(self, moved: Iterable[Sequence[str]]) -> None:
        """Measures the limits that edits of some nodes still lack.

        Gates that look at as many real images look at the same ones, in one pass.

        Parameters
        ----------
        moved : iterable of sequences of str
            Nodes of edits.
        """
        classes: list[Classes] = list(
            dict.fromkeys(moved_classes(nodes, self._classes_of) for nodes in moved)
        )
        waiting = [(gate, gate.observer(classes)) for gate in self._gates.values()]
        for count in dict.fromkeys(gate.real_images for gate, seen in waiting if seen):
            group = [(g, seen) for g, seen in waiting if seen and g.real_images == count]
            search = self._resegment if any(gate.needs_found for gate, _ in group) else None
            for segmented_images in self._real(count):
                found = (
                    search([p.image for p in segmented_images])
                    if search
                    else [None] * len(segmented_images)
                )
                for segmented_image, segments in zip(segmented_images, found, strict=True):
                    for _, observer in group:
                        observer.see(segmented_image, segments)
            for _, observer in group:
                observer.close()

    def judge(
        self,
        samples: Sequence[Recombined],
        hosts: Sequence[SegmentedImage],
        donors: Sequence[SegmentedImage],
        edits: Sequence[Mapping[str, Any]],
    ) -> list[Verdict]:
        """Verdicts of a batch.

        Parameters
        ----------
        samples : sequence of Recombined
        hosts, donors : sequence of SegmentedImage
        edits : sequence of mapping
            Rows of the `rebalance_plan` table.
        """
        self.calibrate(edit["nodes"] for edit in edits)
        batch = GateBatch(
            samples,
            hosts,
            donors,
            edits,
            self._classes_of,
            self._tree,
            self._nodes,
            self._resegment,
        )
        by_gate = {name: gate.judge(batch) for name, gate in self._gates.items()}
        return [
            _verdict({name: judgments[place] for name, judgments in by_gate.items()})
            for place in range(len(samples))
        ]

    def describe(self) -> dict[str, Any]:
        """Limits, the share of real images that each refuses, and behind how many images."""
        described: dict[str, Any] = {}
        for gate in self._gates.values():
            described |= gate.describe()
        return _rounded(described)


def fit_gates(
    calibration: Calibration,
    reader: SegmentedImageReader,
    resegment: Resegment | None = None,
    limits: MeasuredLimits | None = None,
) -> Gates:
    """All registered gates, with limits from the train split.

    Parameters
    ----------
    calibration : Calibration
    reader : SegmentedImageReader
        Kept by the gates, for limits that are set when they are first asked for.
    resegment : callable, optional
        Segments of images from their pixels.
    limits : mapping, optional
        Limits that other gates of the same store have measured.
    """
    images = calibration.index
    ids = images.loc[images["split"] == "train", "image_id"].to_numpy(str)

    def real(count: int) -> Iterator[list[SegmentedImage]]:
        # Evenly spread over the split: the same ones every time.
        rows = np.unique(np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int))
        for start in range(0, len(rows), _BATCH):
            yield reader.read(ids[rows[start : start + _BATCH]].tolist())

    fitted = {gate.name: gate.fit(calibration, (limits or {}).get(gate.name)) for gate in GATES}
    tree = calibration.tree
    return Gates(
        {name: gate for name, gate in fitted.items() if gate is not None},
        tree.taxonomy.classes_of,
        real,
        tree,
        resegment,
    )


def _verdict(judgments: Mapping[str, Judgment]) -> Verdict:
    numbers: dict[str, float | None] = {}
    for judgment in judgments.values():
        numbers |= judgment.numbers
    # Gates that could not be fitted to the dataset leave their columns empty.
    absent = (c.name for gate in GATES if gate.name not in judgments for c in gate.columns)
    numbers |= dict.fromkeys(absent)
    return Verdict(numbers, tuple(name for name, own in judgments.items() if own.refused))


def _rounded(value: Any) -> Any:
    """Floats to four digits and NaN as null, for the manifest."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value
