"""Making samples: planned edits composed, judged by the gates and written out as rows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from heml.recombination.attribution.roles import Roles
from heml.recombination.compositing.compose import Edit, compose_batch
from heml.recombination.compositing.inpaint import Inpainter
from heml.recombination.imaging.image_reader import SegmentedImageReader
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.judging.judge import MeasuredLimits, Verdict
from heml.recombination.judging.misfit import measure_misfit
from heml.recombination.origins import Generator, origin_columns
from heml.segmentation.masks import encode
from heml.storage.code_version import code_fingerprint
from heml.storage.run_context import RunContext


class Judge(Protocol):
    """What decides on samples: `Gates`."""

    @property
    def limits(self) -> MeasuredLimits: ...

    def calibrate(self, moved: Iterable[Sequence[str]]) -> None: ...

    def judge(
        self,
        samples: Sequence[Recombined],
        hosts: Sequence[SegmentedImage],
        donors: Sequence[SegmentedImage],
        edits: Sequence[Mapping[str, Any]],
    ) -> list[Verdict]: ...

    def describe(self) -> dict[str, Any]: ...


class Recombiner:
    """Makes and judges planned edits, a batch at a time.

    Parameters
    ----------
    run : RunContext
        Its store holds the plan.
    roles : Roles
        That the plan rests on: nodes that encode the label are protected.
    gates : Judge
    reader : SegmentedImageReader
    pool : ThreadPoolExecutor
    values : DataFrame
        Attribute values, a column each in the plan's order, by image id.
    inpainter : Inpainter, optional
        Draws seams and holes anew.
    """

    def __init__(
        self,
        run: RunContext,
        roles: Roles,
        gates: Judge,
        reader: SegmentedImageReader,
        pool: ThreadPoolExecutor,
        values: pd.DataFrame,
        inpainter: Inpainter | None = None,
    ) -> None:
        self.gates = gates
        # As Arrow has it: a row takes a tenth of what it takes as objects.
        self.plan = pq.read_table(run.store.rebalance_plan)
        self._taxonomy = run.taxonomy
        self._roles = roles
        self._reader = reader
        self._pool = pool
        self._values = values
        self._inpainter = inpainter

    def calibrate(self, batches: Iterable[Sequence[int]]) -> None:
        """Sets the gates' limits for edits, given by their places in the plan."""
        nodes = self.plan["nodes"]
        moved = (tuple(row) for batch in batches for row in nodes.take(batch).to_pylist())
        self.gates.calibrate(dict.fromkeys(moved))

    def attempt(self, places: Sequence[int]) -> list[dict[str, Any]]:
        """Makes and judges some edits, given by their places in the plan.

        Returns
        -------
        list of dict
            Rows of the `recombined_samples` contract, none of them accepted yet.
        """
        edits = self.plan.take(list(places)).to_pylist()
        ids = [edit["host_id"] for edit in edits] + [edit["donor_id"] for edit in edits]
        images = self._reader.read(ids)
        hosts, donors = images[: len(edits)], images[len(edits) :]
        composed = list(map(self._edit, edits, hosts, donors))
        samples = compose_batch(composed, self._taxonomy, pool=self._pool)
        generator = None
        if self._inpainter is not None:
            nodes = [list(edit["nodes"]) for edit in edits]
            samples = self._inpainter.redraw(samples, nodes, [edit["seed"] for edit in edits])
            generator = self._inpainter.generator
        verdicts = self.gates.judge(samples, hosts, donors, edits)
        measure = partial(measure_misfit, taxonomy=self._taxonomy)
        misfits = self._pool.map(measure, samples, hosts, donors, edits)
        return list(self._pool.map(partial(_row, generator), edits, samples, verdicts, misfits))

    def _edit(self, edit: dict[str, Any], host: SegmentedImage, donor: SegmentedImage) -> Edit:
        protected = [leaf for leaf in self._roles.label_nodes if leaf not in edit["nodes"]]
        tints = self._tints(edit)
        # The colors of the others encode the label: a donor's would bring its own along.
        fixed = {leaf for leaf in self._roles.label_colors if leaf not in tints}
        recolored = [leaf for leaf in edit["recolored_nodes"] if leaf not in fixed]
        return Edit(edit["operator"], host, donor, list(edit["nodes"]), protected, recolored, tints)

    def _tints(self, edit: dict[str, Any]) -> dict[str, np.ndarray]:
        """What the new attribute values change in the colors of leaves that encode the label."""
        tints: dict[str, np.ndarray] = {}
        if edit["direction"] != "swap_attribute":
            return tints
        for attribute, wanted in zip(self._values.columns, edit["attributes"], strict=True):
            had = str(self._values.at[edit["host_id"], attribute])
            for leaf, effects in self._roles.color_effects.get(attribute, {}).items():
                if leaf in edit["recolored_nodes"] and had in effects and wanted in effects:
                    change = np.subtract(effects[wanted], effects[had])
                    tints[leaf] = tints.get(leaf, np.zeros(3)) + change
        return tints


def _row(
    generator: Generator | None,
    edit: dict[str, Any],
    sample: Recombined,
    verdict: Verdict,
    misfit: float | None,
) -> dict[str, Any]:
    buffer = io.BytesIO()
    # A low level: one more takes twice the time for two hundredths of the size.
    Image.fromarray(sample.image).save(buffer, "PNG", compress_level=3)
    height, width = sample.size
    return {
        **edit,
        "attributes": list(edit["attributes"]),
        "nodes": list(edit["nodes"]),
        "recolored_nodes": list(edit["recolored_nodes"]),
        "accepted": False,
        "reason": verdict.reason,
        "refused_by": list(verdict.refused_by),
        **verdict.numbers,
        "misfit": misfit,
        "critic": None,
        "image": {"bytes": buffer.getvalue(), "path": f"{edit['edit_id']}.png"},
        "masks": [
            {"class_name": name, "rle": encode(mask)} for name, mask in sorted(sample.masks.items())
        ],
        **origin_columns(sample, generator),
        "code_fingerprint": code_fingerprint(),
        "width": width,
        "height": height,
    }
