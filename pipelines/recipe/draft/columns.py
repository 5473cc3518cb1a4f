"""The columns of a dataset: their values, which may be labels or attributes, and how they go
together.

Looks at metadata only; choosing is explained in words, because a person decides in the end.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from data_contracts.common import SPLITS
from heml.bias.tables import cramers_v
from heml.sources.base import FileSource, GivenSource
from heml.sources.raw import SourceError
from heml.sources.splits import presence_column
from heml.sources.validate import mask_ids
from pipelines.recipe.draft.find import Content, read
from pipelines.recipe.draft.one_line import one_line

#: Rows that are looked at, and masks that are opened where labels are read off masks.
MOST_ROWS, MOST_MASKS = 50_000, 200
#: Files that are told to be skipped.
MOST_SKIPPED = 5

_MOST_VALUES = 20
#: As CelebA and many others number their splits.
_NUMBERED = {"0": "train", "1": "validation", "2": "test"}
#: Values that an attribute of an image must have on average this many images of.
_FEWEST_EACH = 5
_LABEL_WORDS = {"label", "labels", "class", "category", "target", "scene", "diagnosis", "y"}
_NO_ATTRIBUTE = {"id", "file", "name", "path", "sequence", "licence", "license", "url", "date"}


@dataclass
class Column:
    """One column over the rows that were looked at.

    Parameters
    ----------
    name : str
    values : list of str or None
    """

    name: str
    values: list[str | None]
    counts: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = Counter(value for value in self.values if value is not None)

    @property
    def missing(self) -> float:
        """Share of rows without a value."""
        return 1 - self.counts.total() / max(len(self.values), 1)

    @property
    def unfit(self) -> str | None:
        """Why it can be neither label nor attribute; None if it can."""
        if self.name in SPLITS or self.name == "split":
            return "the split"
        if self.name in ("image_id",) or _words(self.name) & _NO_ATTRIBUTE:
            return "named like an id, a file or a sequence"
        if len(self.counts) < 2:
            return "one value" if self.counts else "empty"
        if len(self.counts) > _MOST_VALUES:
            return f"{len(self.counts)} values: bin them into a few"
        if self.counts.total() < _FEWEST_EACH * len(self.counts):
            return f"{len(self.counts)} values of {self.counts.total()} rows"
        return None

    @property
    def evenness(self) -> float:
        """Entropy of the values over its maximum, 0 to 1."""
        total = self.counts.total()
        shares = [count / total for count in self.counts.values()]
        return -sum(p * math.log(p) for p in shares) / math.log(max(len(shares), 2))

    def shown(self) -> str:
        """The most frequent values with their counts."""
        common = ", ".join(
            f"{one_line(value, 40)} {count}" for value, count in self.counts.most_common(4)
        )
        more = f", {len(self.counts) - 4} more" if len(self.counts) > 4 else ""
        gaps = f"; {self.missing:.0%} empty" if self.missing else ""
        return f"{common}{more}{gaps}"


@dataclass
class Findings:
    """What was found in a dataset.

    Parameters
    ----------
    content : dict
        Source settings without label and attributes.
    columns : dict of str to Column
    splits : Counter of str
        Rows by split as the source reads them.
    rows : int
    all_rows : bool
        Whether the dataset has no more rows than were looked at.
    classes : dict of int to str
    unmasked : int or None
        Rows of used splits that name no mask; None where that is not known without reading.
    splits_come_from : str
        What tells the splits apart, in words.
    skipped : list of tuple of str
        The first files that no row is made of, and why.
    read_as : mapping of str to str
        Tables that are written in another way than usual → how they are read.
    """

    content: Content
    columns: dict[str, Column]
    splits: Counter[str]
    rows: int
    all_rows: bool
    classes: dict[int, str]
    unmasked: int | None
    splits_come_from: str
    skipped: list[tuple[str, str]]
    read_as: Mapping[str, str]


def look(content: Content, off_masks: bool = False) -> Findings:
    """Reads the metadata of a source, and some masks where it has no other columns.

    Parameters
    ----------
    content : dict
        Source settings without label and attributes.
    off_masks : bool, default False
        Read masks in any case.
    """
    content = _with_numbered_splits(content)
    names = read(content).given_columns()
    reader = read(content, names[0] if names else "", names[1:])
    values: dict[str, list[str | None]] = {name: [] for name in names}
    splits: Counter[str] = Counter()
    train: list[bool] = []
    rows = 0
    described = reader.described()
    for split, columns in described:
        rows += 1
        splits[split or "(empty)"] += 1
        train.append(split == "train")
        for name in names:
            values[name].append(columns.get(name))
        if rows == MOST_ROWS:
            break
    all_rows = next(described, None) is None
    found = {
        name: Column(name, [v for v, kept in zip(column, train, strict=True) if kept])
        for name, column in values.items()
    }
    classes = reader.classes()
    if classes and (off_masks or all(column.unfit for column in found.values())):
        found |= {n: c for n, c in _off_masks(reader).items() if off_masks or not c.unfit}
    return Findings(
        content,
        found,
        splits,
        rows,
        all_rows,
        classes,
        _unmasked(reader),
        reader.splits_come_from(),
        list(islice(reader.skipped(), MOST_SKIPPED)),
        reader.read_as(),
    )


def _with_numbered_splits(content: Content) -> Content:
    """The settings, with the usual names of splits 0, 1 and 2.

    Raises
    ------
    SourceError
        If no row is of a split.
    """
    reader = read(content)
    found = Counter(split for split, _ in islice(reader.described(), MOST_ROWS))
    if not found or set(found) & {*SPLITS}:
        return content
    if set(found) <= _NUMBERED.keys() and found.most_common(1)[0][0] == "0":
        return content | {"splits": _NUMBERED}
    names = ", ".join(f"'{one_line(name or '')}'" for name, _ in found.most_common(5))
    raise SourceError(
        f"no row is of the split train, validation or test ({reader.splits_come_from()}; found "
        f"{names}): write train, validation or test there, or remove the column to draw splits"
    )


def best_label(findings: Findings, attributes: Sequence[str] = ()) -> Column | None:
    """The column that is most like a label: named so, even, complete, early, and no attribute."""

    def score(entry: tuple[int, Column]) -> float:
        position, column = entry
        named = 2 * bool(_words(column.name) & _LABEL_WORDS)
        return named + column.evenness - column.missing - 0.05 * position

    fit = [(n, c) for n, c in enumerate(findings.columns.values())]
    fit = [(n, c) for n, c in fit if c.unfit is None and c.name not in attributes]
    return max(fit, key=score)[1] if fit else None


def associations(findings: Findings, label: str) -> dict[str, float]:
    """Bias-corrected Cramér's V of the label with every other fit column, strongest first."""
    one = findings.columns[label]
    found = {
        name: _association(one, column)
        for name, column in findings.columns.items()
        if name != label and column.unfit is None
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _association(one: Column, other: Column) -> float:
    rows, columns = list(one.counts), list(other.counts)
    table = np.zeros((len(rows), len(columns)), np.int64)
    # columns off masks were looked at in other rows than columns of the table
    if len(one.values) != len(other.values):
        return 0.0
    for a, b in zip(one.values, other.values, strict=True):
        if a is not None and b is not None:
            table[rows.index(a), columns.index(b)] += 1
    return float(cramers_v(table)) if table.any() else 0.0


def _off_masks(reader: GivenSource) -> dict[str, Column]:
    """Columns `has_<class>` over the first masks."""
    classes = reader.classes()
    values: dict[int, list[str | None]] = {number: [] for number in classes}
    for seen, record in enumerate(r for r in reader.records() if r.mask is not None):
        if seen == MOST_MASKS:
            break
        assert record.mask is not None
        try:
            present = {*np.unique(mask_ids(record.mask, classes)).tolist()}
        except Exception:  # noqa: S112 - ingesting will tell what is wrong with it
            continue
        for number, column in values.items():
            column.append("yes" if number in present else "no")
    columns = [Column(presence_column(classes[n]), column) for n, column in values.items()]
    columns.sort(key=lambda column: -column.evenness)
    return {column.name: column for column in columns}


def _unmasked(reader: GivenSource) -> int | None:
    if not isinstance(reader, FileSource) or not any(
        row.mask_name or len(reader.names_of(row)) > 2 for row in reader.rows()
    ):
        return None
    return sum(
        row.split in SPLITS and len(reader.names_of(row)) <= 2 and not row.mask_name.strip()
        for row in reader.rows()
    )


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))
