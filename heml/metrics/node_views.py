"""The views of many nodes, written in one pass over the images.

Decoding an image takes longer than cutting a node's view out of it. The first level of a run
therefore writes the views of the levels after it too, into the store's folder `node_views`; a
node's file is removed when the node is trained. A file that is not there, on another machine or
after `heml clean`, is written again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from heml.compute.threads import worker_pool
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.images_table import decode_image, iterate_images
from heml.metrics.identity import content_of, resolution_of
from heml.metrics.metric_settings import MetricSettings
from heml.metrics.views import VERSION, ViewWriter, open_views
from heml.segmentation.masks import iterate_masks
from heml.storage.atomic_write import is_abandoned, write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.locks import locked
from heml.storage.run_context import RunContext
from heml.storage.store import Store

_LOCK = "node_views"


class NodeViews:
    """Views of nodes in the store, for some of its images as they are now.

    Parameters
    ----------
    run : RunContext
    settings : MetricSettings
    wanted : bool array (N,)
        Images of the store that get a view.
    """

    def __init__(self, run: RunContext, settings: MetricSettings, wanted: np.ndarray) -> None:
        self._run, self._settings, self._wanted = run, settings, wanted
        self._content = content_of(run.store)
        self._images = hashlib.sha256(np.packbits(wanted).tobytes()).hexdigest()

    def open(self, nodes: Sequence[str], later: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Views of some nodes; those that are missing are written, in one pass over the images.

        Parameters
        ----------
        nodes : sequence of str
            The caller holds their stages' locks.
        later : sequence of str
            Nodes whose views are written in the same pass, if one is needed, for a later call.

        Returns
        -------
        dict of str to uint8 array (wanted, 4, R, R)
            Memory-mapped.
        """
        store = self._run.store
        store.node_views.mkdir(parents=True, exist_ok=True)
        with locked(
            store.lock(_LOCK),
            lambda: self._run.progress("metric: waiting for another run to write node views"),
        ):
            _remove(path for path in _files(store, "*") if self._is_stale(path))
            if not all(self._path(node).exists() for node in nodes):
                paths = {node: self._path(node) for node in dict.fromkeys([*nodes, *later])}
                missing = {node: path for node, path in paths.items() if not path.exists()}
                with ExitStack() as stack:
                    aside = {n: stack.enter_context(write_aside(p)) for n, p in missing.items()}
                    write_views(self._run, aside, self._settings, self._wanted)
            return {node: open_views(self._path(node)) for node in nodes}

    def _path(self, node: str) -> Path:
        taxonomy = self._run.taxonomy
        key = fingerprint(
            VERSION,
            self._images,
            taxonomy.classes_of(node),
            resolution_of(node, taxonomy, self._settings),
        )
        return self._run.store.node_views / f"{node}.{self._content}.{key}.npy"

    def _is_stale(self, path: Path) -> bool:
        return is_abandoned(path) or f".{self._content}." not in path.name


def discard_views(store: Store, node: str) -> None:
    """Removes a node's views, which nobody needs once it is trained."""
    _remove(_files(store, node))
    _remove_folder(store)


def discard_all_views(store: Store) -> None:
    """Removes all views, such as those that show a revoked image."""
    _remove(_files(store, "*"))
    _remove_folder(store)


def _files(store: Store, node: str) -> list[Path]:
    """Files of a node that are complete, or were left half-written by a process that is gone."""
    whole = list(store.node_views.glob(f"{node}.*.npy"))
    return whole + [p for p in store.node_views.glob(f".{node}.*") if is_abandoned(p)]


def _remove(paths: Iterator[Path] | Sequence[Path]) -> None:
    # Whoever has a file open keeps what it reads.
    for path in paths:
        path.unlink(missing_ok=True)


class _Busy(Exception):
    """Another process writes views."""


def _busy() -> None:
    raise _Busy


def _remove_folder(store: Store) -> None:
    # Full, or about to be written to: whoever removes the last file removes it.
    with suppress(OSError, _Busy), locked(store.lock(_LOCK), _busy):
        store.node_views.rmdir()


def write_views(
    run: RunContext,
    paths: Mapping[str, Path],
    settings: MetricSettings,
    wanted: np.ndarray,
) -> None:
    """Writes the views of some nodes, in one pass over all images.

    Parameters
    ----------
    run : RunContext
    paths : mapping of node to pathlib.Path
        Where to; `open_views` reads them.
    settings : MetricSettings
    wanted : bool array (N,)
        Images of the store that get a view, one after the other.
    """
    place, count = np.cumsum(wanted) - 1, len(wanted)
    writer = ViewWriter(
        paths,
        {node: resolution_of(node, run.taxonomy, settings) for node in paths},
        {node: run.taxonomy.classes_of(node) for node in paths},
        int(wanted.sum()),
    )
    masks = iterate_masks(run.store, wanted)
    done, throttled = 0, ThrottledProgress(run.progress)

    def put(row: int, data: bytes, segments: dict[str, np.ndarray]) -> None:
        writer.put(row, decode_image(data), segments)

    with worker_pool() as pool:
        for batch in iterate_images(run.store, ["image_id", "image"]):
            images = batch.to_pylist()
            segments = [next(masks)[1] for _ in images]
            rows = range(done, done + len(images))
            chosen = [i for i, row in enumerate(rows) if wanted[row]]
            list(
                pool.map(
                    put,
                    [int(place[rows[i]]) for i in chosen],
                    [images[i]["image"]["bytes"] for i in chosen],
                    [segments[i] for i in chosen],
                )
            )
            done += len(images)
            throttled.tell(f"metric: views of {len(paths)} nodes, image {done}/{count}")
    writer.close()
