"""What an earlier pass found, image by image: a source that grows is not segmented anew.

Beside the table lies what each image's rows were made from; both are put in place by one rename.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import ContractError
from data_contracts.segments import SEGMENTS
from heml.segmentation.masks import RowsByImage
from heml.storage.sharded_parquet import ShardedTable
from heml.storage.store import Store

#: Readers of a folder of Parquet files pass over names with this prefix.
_NAME, _HOW, _BATCH = "_keys.arrow", b"how", 4096
#: Doubted segments that were dropped, by reason in the contract's order, are part of the summary.
_SCHEMA = pa.schema(
    [("image_id", pa.string()), ("key", pa.binary(32)), ("dropped", pa.list_(pa.int32()))]
)

Rows = list[dict[str, Any]]


class Segmented(NamedTuple):
    """Segments of one image.

    Parameters
    ----------
    image_id : str
    key : bytes
        Of the image and its mask.
    rows : list of dict
        Of the `segments` contract.
    dropped : list of int, optional
        Doubted segments that were dropped, by reason. None: rows were made now, all are there and
        none was looked at.
    """

    image_id: str
    key: bytes
    rows: Rows
    dropped: list[int] | None = None


def image_key(sha256: str, mask: bytes | None) -> bytes:
    """What an image's segments are made from: hash of its bytes and its mask's.

    Parameters
    ----------
    sha256 : str
        Of the image, hexadecimal.
    mask : bytes, optional
        As it is stored.
    """
    digest = hashlib.sha256(sha256.encode())
    digest.update(b"-" if mask is None else hashlib.sha256(mask).digest())
    return digest.digest()


class EarlierSegments:
    """Rows of the store's finished `segments` table, as far as they were made the same way.

    Parameters
    ----------
    store : Store
    how : str
        Fingerprint of everything but the images that rows are made with.
    """

    def __init__(self, store: Store, how: str) -> None:
        self._images: dict[str, tuple[bytes, list[int]]] = {}
        try:
            if store.finished("segments", store.fingerprint("segments")) is None:
                return
            with pa.OSFile(str(store.segments / _NAME)) as file:
                reader = pa.ipc.open_file(file)
                if (reader.schema.metadata or {}).get(_HOW) != how.encode():
                    return
                keys = reader.read_all()
            self._table = RowsByImage(ShardedTable(store.segments, SEGMENTS), SEGMENTS.column_names)
        except (OSError, pa.ArrowException, ContractError, ValueError):
            return  # without an earlier table, or with one of another version, all is made anew
        columns = (keys[name].to_pylist() for name in _SCHEMA.names)
        self._images = {i: (key, dropped) for i, key, dropped in zip(*columns, strict=True)}

    def has(self, image_id: str, key: bytes) -> bool:
        """Whether the image's segments were made from the same image and mask."""
        return self._images.get(image_id, (None, []))[0] == key

    def get(self, image_id: str, key: bytes) -> Segmented:
        """The segments of an image that it has."""
        _, dropped = self._images[image_id]
        rows = self._table.rows(image_id)
        for row in rows:
            # stored with 32 bits: the number that was rounded to so many places
            row["confidence"] = round(row["confidence"], 6)
        return Segmented(image_id, key, rows, dropped)


def segment_keys(store: Store) -> list[bytes] | None:
    """What the segments of each image were made from and how, in stored order.

    Returns
    -------
    list of bytes, or None
        Equal for an image in two states of the store if its segments are the same. None if the
        table was written without.
    """
    try:
        with pa.OSFile(str(store.segments / _NAME)) as file:
            reader = pa.ipc.open_file(file)
            how = (reader.schema.metadata or {}).get(_HOW, b"")
            return [how + key for key in reader.read_all()["key"].to_pylist()]
    except FileNotFoundError:
        return None


def copy_keys(source: Path, target: Path, without: Set[str]) -> None:
    """Copies what lies beside a table, but for some images; nothing if there is none."""
    path = source / _NAME
    if not path.exists():
        return
    with pa.OSFile(str(path)) as file:
        keys = pa.ipc.open_file(file).read_all()
    unwanted = pa.array(sorted(without), pa.string())
    keys = keys.filter(pc.invert(pc.is_in(keys["image_id"], unwanted)))
    with pa.OSFile(str(target / _NAME), "wb") as file, pa.ipc.new_file(file, keys.schema) as out:
        out.write_table(keys)


class KeyWriter:
    """Writes beside a table what its rows were made from.

    Parameters
    ----------
    folder : pathlib.Path
        The table's, while it is written aside.
    how : str
        See `EarlierSegments`.
    """

    def __init__(self, folder: Path, how: str) -> None:
        schema = _SCHEMA.with_metadata({_HOW: how.encode()})
        self._schema, self._rows = schema, list[dict[str, object]]()
        self._sink = pa.OSFile(str(folder / _NAME), "wb")
        self._file = pa.ipc.new_file(self._sink, schema)

    def __enter__(self) -> KeyWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._flush()
        self._file.close()
        self._sink.close()

    def write(self, image_id: str, key: bytes, dropped: list[int]) -> None:
        """Adds one image."""
        self._rows.append({"image_id": image_id, "key": key, "dropped": dropped})
        if len(self._rows) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_batch(pa.RecordBatch.from_pylist(self._rows, self._schema))
        self._rows = []
