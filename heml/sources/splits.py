"""Words that datasets use: names of splits, values as text, the drawn split."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping

#: Split names of files and folders, as the `datasets` library knows them.
_SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF = {word: split for split, words in _SPLIT_WORDS.items() for word in words}

#: What is said where nothing tells the splits apart.
DRAWN = "drawn by image id: 70% train, 10% validation, 20% test"

#: Shares of a drawn split: train up to .7, validation up to .8, test above.
_DRAWN = ((0.7, "train"), (0.8, "validation"), (1.0, "test"))


def split_word(name: str) -> str | None:
    """The split that a file's or folder's name speaks of, such as `train-00000-of-00002.parquet`.

    Returns
    -------
    str or None
        train, validation or test; None if no word of the name, or more than one, is a split.
    """
    found = {_SPLIT_OF[w] for w in re.split(r"[^a-z]+", name.lower()) if w in _SPLIT_OF}
    return found.pop() if len(found) == 1 else None


#: Words beside a split's in the names of folders, such as `train_images` or `val2017`.
_BESIDE = {"", "data", "dataset", "image", "images", "img", "imgs", "photos", "set", "split"}


def split_folder(name: str) -> str | None:
    """The split that a folder is of: its name says a split and nothing that could be a class.

    Returns
    -------
    str or None
        train, validation or test; None for names such as `test_tube`.
    """
    words = set(re.split(r"[^a-z]+", name.lower())) - _BESIDE
    return _SPLIT_OF.get(words.pop()) if len(words) == 1 else None


def mapped_split(name: str | None, splits: Mapping[str, str]) -> str | None:
    """A source's own split name as train, validation or test; others stay as they are."""
    if name is None or name in splits:
        return splits.get(name or "", None)
    return _SPLIT_OF.get(name.lower(), name)


def drawn_split(image_id: str) -> str:
    """A split that depends on nothing but the id: 70% train, 10% validation, 20% test."""
    digest = hashlib.sha256(image_id.encode("utf-8", "surrogateescape")).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return next(split for limit, split in _DRAWN if share < limit)


#: Words that mark a missing value, as pandas and R write and read them. `None` is none of them:
#: it is a usual value, such as of glasses.
_MISSING_WORDS = frozenset(
    {"", "#N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "n/a", "nan", "null"}
)


def written(text: str) -> str:
    """A field of a table without the spaces around it; empty where it marks a missing value."""
    trimmed = text.strip(" \t\u00a0")
    return "" if trimmed in _MISSING_WORDS else trimmed


#: A whole number that something has written with decimals, as pandas does beside missing values.
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def same_number(text: str | None) -> str | None:
    """A label or an attribute value: `1.0` is the value `1`, whichever file or column says so."""
    match = None if text is None else _WHOLE.fullmatch(text)
    return text if match is None else match[1]


def as_text(value: object) -> str | None:
    """A metadata value as the tables store it: trimmed text, or None where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return written(value) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def presence_column(class_name: str) -> str:
    """Name of the column that tells whether a mask holds a class."""
    return "has_" + re.sub(r"[^a-z0-9]+", "_", class_name.lower()).strip("_")


def first_of(names: Iterable[str], among: Iterable[str]) -> str | None:
    """The first name that is there."""
    known = set(among)
    return next((name for name in names if name in known), None)
