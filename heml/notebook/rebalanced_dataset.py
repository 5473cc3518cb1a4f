"""A dataset folder in a notebook: its rows, where each came from, its parents, its metric tree."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from data_contracts import REBALANCED_DATASET
from heml.dataset.provenance import Provenance
from heml.dataset_folder.features import class_names, named
from heml.dataset_folder.manifest_file import DatasetError, read_manifest, verify
from heml.dataset_folder.reader import read_split, schema_of, split_files, splits_of
from heml.images.images_table import decode_image
from heml.recombination.gate import GATE_COLUMNS

if TYPE_CHECKING:
    from heml.tree.metric_tree import MetricTree, PairExplanation

#: Columns that need no picture to be decoded.
_HEAVY = ("image", "masks")


class _Place(NamedTuple):
    """Where a row is stored."""

    split: str
    path: Path
    row_group: int
    offset: int


class RebalancedDataset:
    """A whole dataset folder. `heml.open_dataset` makes one.

    Parameters
    ----------
    folder : pathlib.Path
    store : pathlib.Path, optional
        Where the metric tree is; default the folder above, as the pipeline leaves it.

    Raises
    ------
    DatasetError
        If the folder holds no whole dataset.
    """

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.schema: pa.Schema = schema_of(folder)
        #: Column → names of its classes, by class number.
        self.classes = class_names(self.schema)
        self.splits = splits_of(folder)
        self.label: str = self.manifest["label"]
        self.attributes: list[str] = self.manifest["attributes"]
        self._store = store or folder.absolute().parent

    def __len__(self) -> int:
        return int(self.manifest["rows"])

    def __repr__(self) -> str:
        rows = ", ".join(f"{s} {n}" for s, n in self.manifest["rows_by_split"].items())
        return f"RebalancedDataset({self.manifest['name']}: {rows})"

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._places

    def verify(self) -> None:
        """Compares every byte with the manifest.

        Raises
        ------
        DatasetError
            Naming the first file that differs.
        """
        verify(self.folder)

    def table(self, split: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Rows of a split, label and attributes by name.

        Parameters
        ----------
        split : str
        columns : sequence of str, optional
            Default: all but images and masks.
        """
        chosen = list(columns or (n for n in self.schema.names if n not in _HEAVY))
        return pa.Table.from_batches(read_split(self.folder, split, chosen, 1024)).to_pandas()

    def row(self, image_id: str, columns: Sequence[str] | None = None) -> dict[str, Any]:
        """One row, label and attributes by name.

        Raises
        ------
        KeyError
            If there is no such row.
        """
        place = self._place(image_id)
        chosen = list(columns or self.schema.names)
        with pq.ParquetFile(place.path) as file:
            table = file.read_row_group(place.row_group, columns=chosen).select(chosen)
        batch = table.slice(place.offset, 1).combine_chunks().to_batches()[0]
        return dict(named(batch, self.classes).to_pylist()[0])

    def recombined(self) -> Iterator[str]:
        """Ids of the recombined rows, in stored order."""
        for split in self.splits:
            for batch in read_split(self.folder, split, ["image_id", "origin"], 1024):
                for row in batch.to_pylist():
                    if row["origin"] == "recombined":
                        yield row["image_id"]

    def image(self, image_id: str) -> Image.Image:
        """A row's picture, as it is stored."""
        return Image.open(io.BytesIO(self.row(image_id, ["image"])["image"]["bytes"]))

    def masks(self, image_id: str) -> dict[str, np.ndarray]:
        """A row's segments: class name → bool array (height, width)."""
        from heml.segmentation.masks import decode

        row = self.row(image_id, ["masks", "height", "width"])
        return {
            mask["class_name"]: decode(mask["rle"], row["height"], row["width"])
            for mask in row["masks"]
        }

    def provenance(self, image_id: str) -> Provenance:
        """Where a row came from.

        Raises
        ------
        KeyError
            If there is no such row.
        """
        row = self.row(image_id)
        # The input may have columns of these names too, such as split: only ours are meant.
        fields = Provenance.__dataclass_fields__
        known = {name: row[name] for name in REBALANCED_DATASET.column_names if name in fields}
        known["origins"] = {part["origin"]: part["rle"] for part in known["origins"]}
        gates = {c.name: row[c.name] for c in GATE_COLUMNS if row[c.name] is not None}
        return Provenance(
            **known,
            split=self._place(image_id).split,
            path=row["image"]["path"],
            sha256=hashlib.sha256(row["image"]["bytes"]).hexdigest(),
            gates=gates,
        )

    def descendants(self, image_id: str) -> list[str]:
        """Ids of the recombined rows with this image as host or donor, in stored order."""
        return [
            row["image_id"]
            for split in self.splits
            for batch in read_split(self.folder, split, ["image_id", "host_id", "donor_ids"], 4096)
            for row in batch.to_pylist()
            if row["host_id"] == image_id or image_id in row["donor_ids"]
        ]

    def show(self, image_id: str) -> Image.Image:
        """A row beside its host and donors; parents that are not in the dataset are named.

        A picture, which notebooks show as it is.
        """
        from heml.report.drawing.encoding import pixels
        from heml.report.figures.provenance_figure import family_figure

        origin = self.provenance(image_id)
        parents = [("host", origin.host_id)] if origin.host_id else []
        parents += [("donor", donor) for donor in origin.donor_ids]
        pictures = [
            (f"{word} {parent}", self._pixels(parent) if parent in self else None)
            for word, parent in parents
        ]
        return pixels(family_figure(origin, self._pixels(image_id), pictures))

    def _pixels(self, image_id: str) -> np.ndarray:
        return decode_image(self.row(image_id, ["image"])["image"]["bytes"])

    @cached_property
    def tree(self) -> MetricTree:
        """The metric tree that the edits were chosen with.

        Raises
        ------
        DatasetError
            If it is not where the pipeline leaves it.
        """
        from heml.tree.metric_tree import MetricTree

        folder = self._store / "metric_tree"
        try:
            return MetricTree.load(folder)
        except FileNotFoundError as error:
            raise DatasetError(
                f"no metric tree in {folder}: it stays in the store; name the store with "
                "heml.open_dataset(folder, store=...)"
            ) from error

    def draw_tree(self, attribute: str | None = None) -> Image.Image:
        """The metric tree colored by bias score for an attribute, the first one by default."""
        from heml.report.figures.by_name import tree_figure
        from heml.storage.store import Store

        chosen = attribute or self.attributes[0]
        png = tree_figure(Store(self._store), self.tree.taxonomy, chosen)
        return Image.open(io.BytesIO(png))

    def explain(self, first: str, second: str) -> PairExplanation:
        """Two train images node by node, with contributions that sum to the total."""
        return self.tree.explain(first, second)

    def draw_pair(self, first: str, second: str) -> Image.Image:
        """The same as a picture: the pair at every node of the tree."""
        from heml.report.figures.by_name import pair_figure
        from heml.storage.store import Store

        png = pair_figure(Store(self._store), self.tree.taxonomy, first, second, tree=self.tree)
        return Image.open(io.BytesIO(png))

    @cached_property
    def _places(self) -> dict[str, _Place]:
        places = {}
        for split in self.splits:
            for path in split_files(self.folder, split):
                with pq.ParquetFile(path) as file:
                    for row_group in range(file.num_row_groups):
                        ids = file.read_row_group(row_group, columns=["image_id"])["image_id"]
                        for offset, image_id in enumerate(ids.to_pylist()):
                            places[image_id] = _Place(split, path, row_group, offset)
        return places

    def _place(self, image_id: str) -> _Place:
        if image_id not in self._places:
            raise KeyError(f"no row '{image_id}' among {len(self)} in {self.folder}")
        return self._places[image_id]
