"""The rows of the dataset, one after the other: real ones, then recombined ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from data_contracts import RECOMBINED_SAMPLES, SEGMENTS, Contract
from data_contracts.common import INPUT_PREFIX
from heml.dataset.group_reader import Group, GroupReader
from heml.dataset.mark_balance import MarkBalance, recombined_id
from heml.dataset.selection import Selection, descends
from heml.images.groups import MISSING, group_name
from heml.images.images_table import iterate_images
from heml.images.revoked import Revoked
from heml.recombination.gate import GATE_COLUMNS
from heml.storage.sharded_parquet import ShardedTable
from heml.storage.store import Store

#: Recombined images read at a time.
_BATCH = 32
#: What samples say of their making, under the same names as in the dataset.
_MADE_WITH = (
    "origins",
    "generator",
    "generator_revision",
    "generator_licence",
    "code_fingerprint",
)
#: Segmenters and their licences of one image: one pair, unless its masks come from several.
_Segmenters = frozenset[tuple[str, str | None]]


@dataclass(frozen=True)
class Shape:
    """What all rows have in common.

    Parameters
    ----------
    label : str
        The input's column of the label.
    attributes : list of str
        Of the attributes.
    names : mapping of str to str
        Input column or discovered attribute → column of the dataset.
    codes : mapping of str to (mapping of str to int)
        Label and attributes, by the input's name: value → class number.
    contract : Contract
        Of the rows.
    split : str or None
        The input's column of the split, if it has one: a recombined row says there what its host
        says, so that who filters by it does not lose the row.
    licence : str or None
        Of the images.
    recipe, code : str
        Fingerprints.
    """

    label: str
    attributes: list[str]
    names: Mapping[str, str]
    codes: Mapping[str, Mapping[str, int]]
    contract: Contract
    split: str | None
    licence: str | None
    recipe: str
    code: str


class Rows:
    """Rows of the chosen images and samples, as the dataset's contract wants them.

    Parameters
    ----------
    store : Store
    shape : Shape
    groups : GroupReader
    selection : Selection
    revoked : Revoked
    balance : MarkBalance
    """

    def __init__(
        self,
        store: Store,
        shape: Shape,
        groups: GroupReader,
        selection: Selection,
        revoked: Revoked,
        balance: MarkBalance,
    ) -> None:
        self._factors = balance.factors
        self._store = store
        self._shape = shape
        self._groups = groups
        self._selection = selection
        self._revoked = revoked
        self._weights = selection.weights()
        self._segmenters: dict[str, _Segmenters] = {}
        self._splits: dict[str, str | None] = {}
        self._once: dict[Any, Any] = {}
        self._split = shape.split if shape.split in groups.inputs else None
        self._empty: dict[str, Any] = dict.fromkeys(shape.contract.column_names)

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Split and row. Real rows come first, in the order of the input."""
        yield from self._real()
        for row in self._recombined():
            yield "train", row

    def _real(self) -> Iterator[tuple[str, dict[str, Any]]]:
        names, inputs = self._shape.names, self._groups.inputs
        columns = ["image_id", "image", "split", "label", "width", "height"]
        columns += [INPUT_PREFIX + name for name in inputs]
        segments = _segments_in_order(self._store)
        pending = next(segments, None)
        for batch in iterate_images(self._store, columns):
            for row in batch.to_pylist():
                image_id, masks, segmenters = row["image_id"], list[dict[str, str]](), _Segmenters()
                # An image all of whose classes are ignored has no segments.
                if pending is not None and pending[0] == image_id:
                    _, masks, segmenters = pending
                    pending = next(segments, None)
                # A surplus image is no row, but may be a parent.
                if image_id in self._selection.parents:
                    # Parents are many, what is said of them is little: it is kept once.
                    self._segmenters[image_id] = self._once.setdefault(segmenters, segmenters)
                    if self._split:
                        value = row[INPUT_PREFIX + self._split]
                        self._splits[image_id] = self._once.setdefault(value, value)
                if image_id in self._revoked or image_id in self._selection.surplus:
                    continue
                group = self._groups.group(row)
                # A row with a missing attribute value is in no group.
                own = self._weights.get(group) if row["split"] == "train" else None
                real = {
                    **self._common(row, group, masks, segmenters),
                    **{names[n]: row[INPUT_PREFIX + n] for n in inputs},
                    **self._classes(group),
                    "image_id": image_id,
                    "origin": "real",
                    "weight": 1.0 if own is None else own.real * self._factors.get(image_id, 1.0),
                }
                yield row["split"], real
        if pending is not None:
            raise ValueError("images and segments are out of step: run the segments stage again")

    def _recombined(self) -> Iterator[dict[str, Any]]:
        gates = [column.name for column in GATE_COLUMNS]
        names = self._shape.names
        columns = ["accepted", "edit_id", "label", "attributes", "direction", "operator", "nodes"]
        columns += ["recolored_nodes", "host_id", "donor_id", "seed", *gates]
        columns += ["image", "masks", "width", "height"]
        table = ShardedTable(self._store.recombined_samples, RECOMBINED_SAMPLES)
        # Samples of an earlier minor version do not say where their pixels come from.
        made_with = [name for name in _MADE_WITH if name in table.names]
        columns += made_with
        for batch in table.batches(columns, _BATCH):
            for row in batch.to_pylist():
                if not row["accepted"] or descends(row, self._revoked):
                    continue
                group = (row["label"], *row["attributes"])
                parents = (row["host_id"], row["donor_id"])
                segmenters = frozenset[tuple[str, str | None]]().union(
                    *(self._segmenters.get(parent, _Segmenters()) for parent in parents)
                )
                row_id = recombined_id(row["edit_id"])
                yield {
                    **self._common(row, group, row["masks"], segmenters),
                    # Only label, attributes and split are known of a recombined image.
                    **({names[self._split]: self._splits[row["host_id"]]} if self._split else {}),
                    **self._classes(group),
                    **{gate: row[gate] for gate in gates},
                    **{name: row[name] for name in made_with},
                    "image_id": row_id,
                    "origin": "recombined",
                    "host_id": row["host_id"],
                    "donor_ids": [row["donor_id"]],
                    "nodes": row["nodes"],
                    "recolored_nodes": row["recolored_nodes"],
                    "operator": row["operator"],
                    "direction": row["direction"],
                    "seed": row["seed"],
                    "weight": self._weights[group].recombined * self._factors.get(row_id, 1.0),
                }

    def _classes(self, group: Group) -> dict[str, int | None]:
        """Label and attributes as class numbers; nothing where a value is missing."""
        shape = self._shape
        return {
            shape.names[column]: None if value == MISSING else shape.codes[column][value]
            for column, value in zip((shape.label, *shape.attributes), group, strict=True)
        }

    def _common(
        self, row: dict[str, Any], group: Group, masks: Sequence[Any], segmenters: _Segmenters
    ) -> dict[str, Any]:
        shape = self._shape
        return {
            **self._empty,
            "image": row["image"],
            "width": row["width"],
            "height": row["height"],
            "masks": masks,
            "segmenter": " + ".join(sorted({name for name, _ in segmenters})) or "none",
            "segmenter_licence": " + ".join(sorted({of for _, of in segmenters if of})) or None,
            "donor_ids": [],
            "nodes": [],
            "recolored_nodes": [],
            "origins": [],
            "group": group_name(shape.label, group[0], shape.attributes, group[1:]),
            "licence": shape.licence,
            "recipe_fingerprint": shape.recipe,
            "code_fingerprint": shape.code,
        }


def _segments_in_order(store: Store) -> Iterator[tuple[str, list[dict[str, str]], _Segmenters]]:
    """Image ids with their masks, in stored order; images without any are left out."""
    columns = ["image_id", "class_name", "rle", "segmenter", "segmenter_licence"]
    table = ShardedTable(store.segments, SEGMENTS)
    rows = (row for batch in table.batches(columns, 1024) for row in batch.to_pylist())
    for image_id, attribute in groupby(rows, key=itemgetter("image_id")):
        own = list(attribute)
        masks = [{"class_name": row["class_name"], "rle": row["rle"]} for row in own]
        made_by = frozenset((row["segmenter"], row["segmenter_licence"]) for row in own)
        yield image_id, masks, made_by
