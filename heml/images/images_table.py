"""Reading accepted images back: their index, their pixels, all of them or a few.

The one place where encoded images and masks become arrays. What may be stored at all,
`heml.sources.validate` decides.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from data_contracts.common import INPUT_PREFIX
from data_contracts.discovered_groups import DISCOVERED_GROUPS
from data_contracts.images import IMAGES
from heml.images.groups import DISCOVERED, MISSING
from heml.images.png_chunks import without_long_texts
from heml.storage.row_index import RowIndex
from heml.storage.sharded_parquet import RowGroup, ShardedTable
from heml.storage.store import Store
from heml.taxonomy import nearest

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112

#: Formats that a dataset of pictures may hold. Others that PIL knows run external programs or are
#: no pictures.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")

#: Row groups that `ImageReader` keeps, in bytes.
_CACHE_BYTES = 128 << 20


@cache
def _readable() -> tuple[str, ...]:
    Image.init()  # PIL loads its rarer formats on demand; some are optional in a build
    return tuple(name for name in FORMATS if name in Image.OPEN)


def open_image(data: bytes) -> Image.Image:
    """The image's header; pixels are decoded later. Long texts in a PNG are passed over.

    Raises
    ------
    PIL.UnidentifiedImageError
    PIL.Image.DecompressionBombError
        Above 178 million pixels.
    """
    return Image.open(io.BytesIO(without_long_texts(data)), formats=_readable())


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8, that is yet to be applied to a loaded image.

    1 where there is none, the EXIF data is broken, or Pillow turned the image itself, as it turns
    TIFF.
    """
    try:
        image.load()  # Pillow turns a TIFF when it loads it, and drops the tag then
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # EXIF parsers raise whatever broken bytes lead to
        return 1
    return value if value in _TURNS else 1


def displayed_size(image: Image.Image) -> tuple[int, int]:
    """Width and height after turning the image as its EXIF data says. Decodes the pixels."""
    turn = orientation(image)
    width, height = image.size
    return (height, width) if turn >= 5 else (width, height)


def displayed(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF data says."""
    turn = _TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def decode_image(data: bytes) -> np.ndarray:
    """Pixels of an encoded image of any accepted kind.

    Gray, palette, CMYK and 16-bit images are converted, transparency is put on white, and the
    image is turned as its EXIF data says. Color profiles are left alone, as training code leaves
    them: converting them would tint recombined samples against the real rows they stand beside.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB.
    """
    with open_image(data) as image:
        image = displayed(image)
        if image.mode.startswith("I"):
            gray = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
            values = ((gray + 128) // 257).astype(np.uint8)
            return np.repeat(values[..., None], 3, axis=2)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return np.array(image.convert("RGB"))


def decode_mask(data: bytes) -> np.ndarray:
    """Class ids of an encoded mask: gray values or palette indices, not colors.

    Which of both a palette of grays means, `heml.sources.palette_mask` decides before a mask is
    stored.

    Returns
    -------
    ndarray of uint8, shape (height, width)

    Raises
    ------
    ValueError
        If it has colors, or ids above 255.
    """
    with open_image(data) as image:
        if image.mode not in ("L", "P", "1") and not image.mode.startswith("I"):
            raise ValueError(
                f"pixels are {image.mode}: name their colors in source.mask_colors, or save class "
                "ids as 8-bit gray or palette"
            )
        ids = np.asarray(displayed(image))
    if ids.dtype.itemsize > 1 and (ids.min(initial=0) < 0 or ids.max(initial=0) > 255):
        raise ValueError(f"class id {int(ids.max())} is above 255")
    return ids.astype(np.uint8)


def _table(store: Store) -> ShardedTable:
    store.summary("images")  # says that the stage has not run, if so
    return ShardedTable(store.images, IMAGES)


def image_index(store: Store, attributes: list[str]) -> pd.DataFrame:
    """The small columns of all accepted images, in stored order.

    Parameters
    ----------
    store : Store
    attributes : list of str
        The input's columns to add, or discovered attributes, under their own names. A missing value
        is `heml.images.groups.MISSING`.

    Returns
    -------
    pandas.DataFrame
        Columns `image_id`, `split`, `label` and one per attribute.

    Raises
    ------
    FileNotFoundError
        If the images stage has not run.
    KeyError
        If the input had no such column.
    """
    table = _table(store)
    known = [n.removeprefix(INPUT_PREFIX) for n in table.names if n.startswith(INPUT_PREFIX)]
    columns = ["image_id", "split", "label"]
    given = [attribute for attribute in attributes if attribute in known]
    frame = table.read([*columns, *(INPUT_PREFIX + g for g in given)]).to_pandas()
    frame = frame.set_axis([*columns, *given], axis="columns")
    for attribute in attributes:
        if attribute not in known:
            if not attribute.startswith(DISCOVERED):
                raise KeyError(
                    f"the images have no column '{attribute}'; {nearest(attribute, known)}"
                )
            frame[attribute] = _discovered(store, attribute, frame["image_id"])
        # A column without any value is of no type of its own.
        values = frame[attribute].astype(object)
        frame[attribute] = values.where(values.notna(), MISSING)
    return frame[[*columns, *attributes]]


def _discovered(store: Store, attribute: str, image_ids: pd.Series) -> pd.Series:
    table = pq.read_table(store.discovered_groups, filters=[("attribute", "=", attribute)])
    DISCOVERED_GROUPS.check_version(table.schema)
    if not len(table):
        raise KeyError(f"no attribute '{attribute}' was discovered")
    values = dict(zip(table["image_id"].to_pylist(), table["value"].to_pylist(), strict=True))
    return image_ids.map(values)


def iterate_images(
    store: Store, columns: Sequence[str], batch_size: int = 64
) -> Iterator[pa.RecordBatch]:
    """All accepted images in stored order, a batch at a time.

    Parameters
    ----------
    store : Store
    columns : sequence of str
        Columns of the `images` contract, or `input.<name>`.
    batch_size : int, default 64
        Rows at most; batches end where a file ends.
    """
    yield from _table(store).batches(columns, batch_size)


class ImageReader:
    """Single images by id; only the row groups that hold them are read.

    Parameters
    ----------
    store : Store
    cache_bytes : int
        Row groups kept for the next call, in bytes of Arrow memory.
    """

    def __init__(self, store: Store, cache_bytes: int = _CACHE_BYTES) -> None:
        self._shards = _table(store)
        self._limit = cache_bytes
        self._cache: OrderedDict[tuple[RowGroup, tuple[str, ...]], pa.Table] = OrderedDict()
        self._index = RowIndex(self._shards)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, image_id: object) -> bool:
        return isinstance(image_id, str) and self._index.find(image_id) is not None

    def rows(self, image_ids: Sequence[str], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Rows in the order of the ids, which may repeat.

        Parameters
        ----------
        image_ids : sequence of str
        columns : sequence of str
            Columns of the `images` contract, or `input.<name>`.

        Returns
        -------
        list of dict
            Column → value; `image` is `{"bytes": bytes, "path": str}`.

        Raises
        ------
        KeyError
            If there is no such image.
        """
        by_group: dict[RowGroup, list[tuple[int, int]]] = {}
        for position, image_id in enumerate(image_ids):
            found = self._index.find(image_id)
            if found is None:
                raise KeyError(f"no image '{image_id}' among {len(self)} stored ones")
            by_group.setdefault(found.group, []).append((position, found.start))
        result: list[dict[str, Any]] = [{}] * len(image_ids)
        # one row group after the other, so that a small cache is enough for any number of ids
        for group, wanted in by_group.items():
            table = self._read(group, tuple(columns))
            rows = table.take(pa.array([offset for _, offset in wanted])).to_pylist()
            for (position, _), row in zip(wanted, rows, strict=True):
                result[position] = row
        return result

    def _read(self, group: RowGroup, columns: tuple[str, ...]) -> pa.Table:
        key = group, columns
        if key not in self._cache:
            self._cache[key] = self._shards.read_row_group(group, columns)
        self._cache.move_to_end(key)
        while len(self._cache) > 1 and sum(t.nbytes for t in self._cache.values()) > self._limit:
            self._cache.popitem(last=False)
        return self._cache[key]
