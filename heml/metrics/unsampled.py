"""Embeddings of the images outside the sample: shard by shard, never all at a time."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from torch import Tensor

from data_contracts import EMBEDDINGS
from data_contracts.images import IMAGES
from heml.compute.cluster_map import cluster_map
from heml.compute.device import choose_device, threads_on
from heml.compute.processes import Job
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import decode_image
from heml.metrics.artifacts import NodeMetric, network_from
from heml.metrics.level_data import UNSAMPLED, Rows
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.network_training import embed
from heml.metrics.node_training import present_in
from heml.metrics.views import node_view, union
from heml.segmentation.masks import SegmentReader
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.sharded_parquet import RowGroup, ShardedTable
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

#: Rows of a row group of the table that is written.
_ROWS = 4096


@dataclass(frozen=True)
class Shard:
    """A row group of the images table.

    Parameters
    ----------
    group : RowGroup
    wanted : dict of str to list of int
        Node → places in the row group of the images to embed.
    """

    group: RowGroup
    wanted: dict[str, list[int]]


@dataclass(frozen=True)
class _Network:
    """A node's final network, as it travels to a worker. No weights: the node is untrained."""

    weights: dict[str, Tensor] | None
    architecture: dict[str, Any] | None
    resolution: int
    dimensions: int


class _Embedder:
    """Embeds the wanted images of a shard."""

    def __init__(
        self, store: Store, taxonomy: Taxonomy, networks: Mapping[str, _Network], device: str
    ) -> None:
        self._taxonomy, self._networks = taxonomy, networks
        chosen = choose_device(device)
        self._models = {
            node: network_from(network.weights, network.architecture).to(chosen)
            for node, network in networks.items()
            if network.weights is not None
        }
        self._images = ShardedTable(store.images, IMAGES)
        self._segments, self._lock = SegmentReader(store), threading.Lock()
        self._turn = threading.Lock() if threads_on(chosen) == 1 else nullcontext()

    def __call__(self, shard: Shard) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Node → present (B,) and vectors (B, D) of its wanted images."""
        table = self._images.read_row_group(shard.group, ["image_id", "image"])
        places = sorted({place for own in shard.wanted.values() for place in own})
        pixels, masks = {}, {}
        for place, row in zip(places, table.take(places).to_pylist(), strict=True):
            pixels[place] = decode_image(row["image"]["bytes"])
            with self._lock:
                masks[place] = self._segments.masks(row["image_id"])
        found = {}
        for node, own in shard.wanted.items():
            network, classes = self._networks[node], self._taxonomy.classes_of(node)
            views = np.stack(
                [node_view(pixels[p], union(masks[p], classes), network.resolution) for p in own]
            )
            present = present_in(views)
            vectors = np.zeros((len(own), network.dimensions), np.float32)
            if node in self._models:
                with self._turn:
                    vectors[present] = embed(self._models[node], views)[present]
            found[node] = present, vectors
        return found


def embed_unsampled(
    run: RunContext,
    metrics: Mapping[str, NodeMetric],
    folders: Mapping[str, Path],
    earlier: Mapping[str, Path],
    rows: Rows,
    settings: MetricSettings,
) -> None:
    """Writes `unsampled.parquet` into the folders of some nodes: all images outside the sample.

    Parameters
    ----------
    metrics : mapping of node to NodeMetric
        Of the sample.
    folders : mapping of node to pathlib.Path
    earlier : mapping of node to pathlib.Path
        Folder of the artifacts of the same weights, for an earlier state of the source: what it has
        of unchanged images is taken over.
    rows : Rows
    """
    before = {n: _Earlier(earlier[n] / UNSAMPLED, rows) for n in metrics if n in earlier}
    embedded = {n: before[n].rows if n in before else set[int]() for n in metrics}
    shards = list(_shards(run.store, rows, embedded))
    networks = {
        node: _Network(
            metric.weights[0] if metric.weights else None,
            metric.architecture,
            metric.report["resolution"],
            metric.embeddings.shape[1],
        )
        for node, metric in metrics.items()
    }
    key = fingerprint([str(folder) for folder in folders.values()])
    make = partial(_Embedder, run.store, run.taxonomy, networks, settings.device)
    job = Job(key, make, run.store.pull)
    results = cluster_map(job, [shard for _, _, shard in shards if shard.wanted])
    done, throttled = 0, ThrottledProgress(run.progress)
    with ExitStack() as stack:
        writers = {}
        for node in metrics:
            path = stack.enter_context(write_aside(folders[node] / UNSAMPLED))
            writers[node] = stack.enter_context(_Writer(path, rows, before.get(node)))
        for start, outside, shard in shards:
            found = next(results) if shard.wanted else {}
            for node, writer in writers.items():
                writer.write(start, outside, shard.wanted.get(node, []), found.get(node))
            done += len(outside)
            throttled.tell(
                f"metric: {done} images outside the sample embedded by {len(metrics)} nodes"
            )


def _shards(
    store: Store, rows: Rows, embedded: Mapping[str, Container[int]]
) -> Iterator[tuple[int, list[int], Shard]]:
    """Of every row group: its first row, places outside the sample, and what is to be done."""
    images, first = ShardedTable(store.images, IMAGES), 0
    for group in images.row_groups():
        count = images.rows_in(group)
        outside = np.flatnonzero(~rows.measured[first : first + count]).tolist()
        wanted = {n: [p for p in outside if first + p not in has] for n, has in embedded.items()}
        yield first, outside, Shard(group, {node: own for node, own in wanted.items() if own})
        first += count


class _Earlier:
    """Embeddings of an earlier state, by image.

    Attributes
    ----------
    rows : set of int
        Rows of the index whose images are unchanged since.
    """

    def __init__(self, path: Path, rows: Rows) -> None:
        self._path = path
        self._place: dict[str, tuple[int, int]] = {}
        self._group, self._table = -1, list[dict[str, Any]]()
        self.rows: set[int] = set()
        if not path.exists() or rows.made_from is None:
            return
        row_of = {image_id: row for row, image_id in enumerate(rows.index["image_id"])}
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["image_id", "made_from"])
                for place, old in enumerate(table.to_pylist()):
                    row = row_of.get(old["image_id"])
                    if row is not None and rows.made_from[row] == old["made_from"]:
                        self.rows.add(row)
                        self._place[old["image_id"]] = group, place

    def get(self, image_id: str) -> dict[str, Any]:
        """The image's row."""
        group, place = self._place[image_id]
        if group != self._group:
            with pq.ParquetFile(self._path) as file:
                self._group, self._table = group, file.read_row_group(group).to_pylist()
        return self._table[place]


class _Writer:
    """Writes one node's table."""

    def __init__(self, path: Path, rows: Rows, earlier: _Earlier | None) -> None:
        self._rows, self._earlier = rows, earlier
        self._ids = rows.index["image_id"].to_numpy(object)
        self._splits = rows.index["split"].to_numpy(object)
        self._file = pq.ParquetWriter(path, EMBEDDINGS.schema(), compression="zstd")
        self._pending: list[dict[str, Any]] = []

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._file.close()

    def write(
        self,
        start: int,
        outside: Sequence[int],
        wanted: Sequence[int],
        found: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        """Adds the images of one row group that are outside the sample."""
        fresh = dict(zip(wanted, zip(*found, strict=True), strict=True)) if found else {}
        for place in outside:
            row = start + place
            if place in fresh:
                present, vector = fresh[place]
            else:
                assert self._earlier is not None
                before = self._earlier.get(self._ids[row])
                present, vector = before["present"], before["embedding"]
            self._pending.append(
                {
                    "image_id": self._ids[row],
                    "split": self._splits[row],
                    "fold": -1,
                    "present": bool(present),
                    "embedding": vector,
                    "made_from": self._rows.made_from[row] if self._rows.made_from else None,
                    "learned": False,
                }
            )
        if len(self._pending) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._file.write_table(EMBEDDINGS.table(self._pending))
        self._pending = []
