"""Reading what the detector of recombined images is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.dataset as ds

from heml.effect.training_images import decode_resized
from heml.images.groups import joined


class TrainImages(NamedTuple):
    """What `measure_edit_detectability` needs, in its order.

    Parameters
    ----------
    images : uint8 array (N, 3, size, size)
    recombined : bool array (N,)
    labels : array (N,)
    families : str array (N,)
        Of a recombined image its host.
    attributes : str array (N,)
        All attribute values together.
    weights : float array (N,)
    """

    images: np.ndarray
    recombined: np.ndarray
    labels: np.ndarray
    families: np.ndarray
    attributes: np.ndarray
    weights: np.ndarray


def read_train_images(
    dataset: Path,
    label: str,
    attributes: Sequence[str],
    size: int,
    most: int = 4000,
    seed: int = 0,
) -> TrainImages:
    """What `measure_edit_detectability` needs of a written dataset's train split.

    Parameters
    ----------
    dataset : pathlib.Path
        Folder of a rebalanced dataset.
    label : str
        Its label column.
    attributes : sequence of str
        Its attributes.
    size : int
        Side of the images that are returned, in pixels.
    most : int, default 4000
        Rows at most, drawn at random: memory does not grow with the dataset.
    seed : int
    """
    table = ds.dataset(sorted((dataset / "data").glob("train-*.parquet")), format="parquet")
    count = table.count_rows()
    chosen = np.zeros(count, bool)
    chosen[np.random.default_rng(seed).permutation(count)[:most]] = True
    images: list[np.ndarray] = []
    rows: list[Sequence[Any]] = []
    start = 0
    columns = ["image", "image_id", "origin", "host_id", "weight", label, *attributes]
    for batch in table.to_batches(columns=columns, batch_size=64):
        wanted = np.flatnonzero(chosen[start : start + len(batch)])
        start += len(batch)
        for row in batch.take(wanted).to_pylist():
            images.append(decode_resized(row["image"]["bytes"], size))
            recombined = row["origin"] == "recombined"
            family = row["host_id"] if recombined else row["image_id"]
            values = joined(str(row[attribute]) for attribute in attributes)
            rows.append((recombined, row[label], family, values, row["weight"]))
    return TrainImages(np.stack(images), *map(np.array, zip(*rows, strict=True)))
