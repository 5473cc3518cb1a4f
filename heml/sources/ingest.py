"""The `images` stage: every input row is accepted, refused with a reason, or excluded by its split.

Rows stream from the source into Parquet files; what an acceptable image is, `validate` decides.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data_contracts.common import INPUT_PREFIX, SPLITS, input_columns
from data_contracts.images import IMAGES
from data_contracts.quarantine import QUARANTINE, REASONS
from heml.compute.prefetch import map_ahead
from heml.compute.progress import Progress
from heml.compute.throttled_progress import ThrottledProgress
from heml.images.groups import MISSING, group_name
from heml.images.revoked import Revoked, read_revoked
from heml.sources.dedup import Seen
from heml.sources.layout import open_source
from heml.sources.raw import RawRecord, Refusal, Source, SourceError, Unacceptable
from heml.sources.source_settings import SourceSettings
from heml.sources.validate import CheckedImage, CheckedMask, check_image, check_mask
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.sharded_parquet import ShardWriter
from heml.storage.stage import Outcome, run_stage
from heml.storage.store import Store
from heml.taxonomy import Taxonomy

VERSION = 9


#: Files that are skipped, named one by one in the summary.
_SKIPPED_SHOWN = 20


class TooManyRefused(ValueError):
    """More input rows were refused than the settings allow."""


def ingest(
    store: Store,
    source: SourceSettings,
    base: Path,
    taxonomy: Taxonomy,
    annotated: bool,
    progress: Progress,
) -> Outcome:
    """Reads a source into the store's `images` and `quarantine` tables.

    Parameters
    ----------
    store : Store
    source : heml.sources.source_settings.SourceSettings
    base : pathlib.Path
        Folder that relative paths start from: the recipe's.
    taxonomy : Taxonomy
        Must name every class of the source.
    annotated : bool
        Whether every image needs a mask.
    progress : Progress

    Returns
    -------
    Outcome
        Counts `read`, `accepted`, `quarantined` and `excluded` (by split, or because they were
        revoked), their breakdown by split, reason
        and train group, the `classes`, and `content`: a hash of all accepted rows.

    Raises
    ------
    SourceError
        If the source cannot be used as described; nothing is written.
    TaxonomyError
        If the taxonomy does not name one of the source's classes; nothing is written.
    TooManyRefused
        If more rows are refused than the settings allow; only the quarantine table is written.
    """
    reader = open_source(source, base)
    reader.check(annotated)
    taxonomy.check_covers(reader.classes().values())
    key = fingerprint(
        VERSION,
        source.model_dump(),
        annotated,
        sorted({*taxonomy.class_names, *taxonomy.ignored}),
        reader.state(),
        *read_revoked(store).state(),
    )
    ingestion = _Ingestion(store, reader, annotated, ThrottledProgress(progress))
    return run_stage(store, "images", key, ingestion.run, progress)


@dataclass
class _Counts:
    """What happened to the rows."""

    accepted_by_split: Counter[str] = field(default_factory=Counter)
    excluded_by_split: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    first_details: dict[str, str] = field(default_factory=dict)
    groups: Counter[tuple[str, ...]] = field(default_factory=Counter)
    near_duplicates: int = 0
    read: int = 0
    revoked: int = 0

    @property
    def accepted(self) -> int:
        return self.accepted_by_split.total()

    @property
    def quarantined(self) -> int:
        return self.reasons.total()

    @property
    def excluded(self) -> int:
        return self.excluded_by_split.total() + self.revoked


@dataclass(frozen=True)
class _Examined:
    """What the bytes of an acceptable row told."""

    image: CheckedImage
    mask: CheckedMask | None


def _excluded(record: RawRecord) -> bool:
    return record.refusal is None and record.split not in SPLITS


class _Ingestion:
    """One pass over a source."""

    def __init__(
        self, store: Store, source: Source, annotated: bool, throttled: ThrottledProgress
    ) -> None:
        self._store = store
        self._source = source
        self._annotated = annotated
        self._pace = throttled
        self._classes = source.classes()
        self._columns = source.columns()
        self._counts = _Counts()
        self._content = hashlib.sha256()
        self._derived = source.derived
        self._revoked: Revoked = read_revoked(store)
        self._seen = Seen()

    def run(self) -> tuple[dict[str, Any], list[Path]]:
        """Writes both tables; the summary and what was written."""
        contract = IMAGES.with_columns(input_columns(self._columns))
        refused: TooManyRefused | None = None
        with ExitStack() as stack:
            stack.enter_context(self._seen)
            quarantine = stack.enter_context(write_aside(self._store.quarantine))
            try:
                with write_aside(self._store.images) as folder:
                    with (
                        ShardWriter(folder, contract) as images,
                        _QuarantineWriter(quarantine) as refusals,
                    ):
                        self._read(images, refusals)
                    self._check_result()
            except TooManyRefused as error:
                # leaving the outer block without an error keeps the quarantine table
                refused = error
        if refused is not None:
            raise refused
        return self._summary(), [self._store.images, self._store.quarantine]

    def _read(self, images: ShardWriter, refusals: _QuarantineWriter) -> None:
        counts = self._counts
        for record, examined in map_ahead(self._examine, self._source.records()):
            counts.read += 1
            if _excluded(record):
                counts.excluded_by_split[record.split or "(empty)"] += 1
                continue
            stored = examined.image.data if isinstance(examined, _Examined) else None
            if any(self._revoked.covers(record.image_id, data) for data in (record.image, stored)):
                counts.revoked += 1
                continue
            try:
                row, size = self._accept(record, examined)
            except Unacceptable as error:
                counts.reasons[error.refusal.reason] += 1
                counts.first_details.setdefault(error.refusal.reason, error.refusal.detail)
                refusals.write(record, error.refusal)
            else:
                images.write([row], size)
            self._pace.tell(f"images: {counts.read} read, {counts.quarantined} refused")
        assert counts.read == counts.accepted + counts.quarantined + counts.excluded

    def _examine(self, record: RawRecord) -> tuple[RawRecord, _Examined | Unacceptable | None]:
        """What the bytes alone tell; runs in threads."""
        if record.refusal is not None or record.image is None:
            return record, None
        try:
            image = check_image(record.image, self._source.limits.max_pixels)
            mask = None
            # without a class list nothing says what the ids mean
            if record.mask is not None and self._classes:
                mask = check_mask(record.mask, image.size, self._classes)
            elif self._annotated:
                raise Unacceptable("missing_mask", "the row names no mask")
        except Unacceptable as error:
            return record, error
        return record, _Examined(image, mask)

    def _accept(
        self, record: RawRecord, examined: _Examined | Unacceptable | None
    ) -> tuple[dict[str, object], int]:
        """The stored row and its size in bytes, with every count that depends on it."""
        if record.refusal is not None:
            raise Unacceptable(*record.refusal)
        assert record.image is not None
        assert record.split is not None
        assert examined is not None
        if self._seen.has_id(record.image_id):
            raise Unacceptable("duplicate_id", f"'{record.image_id}' is taken by an earlier row")
        columns = self._columns_of(record, examined)
        values = self._values(columns, examined)
        digest = hashlib.sha256(record.image)
        if (same := self._seen.same_content(digest.digest())) is not None:
            raise Unacceptable("duplicate_content", f"same as '{same}'")
        if isinstance(examined, Unacceptable):
            raise examined

        mask, image = examined.mask, examined.image
        subject = self._subject(record)
        self._refuse_in_two_splits(record.split, image, subject)
        self._seen.add(record.image_id, digest.digest(), record.split, image.likeness, subject)
        self._counts.accepted_by_split[record.split] += 1
        if record.split == "train":
            self._counts.groups[tuple(values)] += 1
        row: dict[str, object] = {
            "image_id": record.image_id,
            "image": {"bytes": image.data, "path": record.file_name},
            "mask": mask.png if mask else None,
            "width": image.size[0],
            "height": image.size[1],
            "split": record.split,
            "label": values[0],
            "sha256": hashlib.sha256(image.data).hexdigest(),
            "source_sha256": digest.hexdigest(),
        }
        row |= {INPUT_PREFIX + name: columns[name] for name in self._columns}
        row |= {INPUT_PREFIX + name: _text(columns[name]) for name in self._source.attributes}
        described = [row[k] for k in row if k not in ("image", "mask")]
        described.append(hashlib.sha256(mask.ids.tobytes()).hexdigest() if mask else None)
        self._content.update(json.dumps(described).encode())
        return row, len(image.data) + (len(mask.png) if mask else 0)

    def _subject(self, record: RawRecord) -> str | None:
        column = self._source.split_by
        return None if column is None else _text(record.columns[column])

    def _refuse_in_two_splits(self, split: str, image: CheckedImage, subject: str | None) -> None:
        """Keeps a subject, and what looks the same, in one split: else the test is no test."""
        first = None if subject is None else self._seen.split_of(subject)
        if first not in (None, split):
            raise Unacceptable("split_subject", f"'{subject}' is in the split '{first}'")
        if self._source.limits.near_duplicates:
            return
        near = self._seen.near(image.likeness, split)
        if near is not None and near[1] != split:
            raise Unacceptable("near_duplicate", f"looks like '{near[0]}' of '{near[1]}'")
        self._counts.near_duplicates += near is not None

    def _columns_of(
        self, record: RawRecord, examined: _Examined | Unacceptable
    ) -> dict[str, str | None]:
        """The input's columns, with those that are read off the mask."""
        columns = dict(record.columns)
        if isinstance(examined, _Examined) and examined.mask is not None and self._derived:
            present = np.bincount(examined.mask.ids.ravel(), minlength=256) > 0
            for name, class_id in self._derived.items():
                columns[name] = "yes" if present[class_id] else "no"
        return columns

    def _values(
        self, columns: dict[str, str | None], examined: _Examined | Unacceptable
    ) -> list[str]:
        """Label and attributes of a row; a missing attribute is a value of its own."""
        name = self._source.label
        label = columns[name]
        if label is None or not _text(label):
            if name in self._derived and isinstance(examined, Unacceptable):
                raise examined
            raise Unacceptable("missing_label", f"column '{name}' is empty")
        declared = self._source.labels
        if declared is not None and label not in declared:
            raise Unacceptable("unknown_label", f"'{label}' is none of {', '.join(declared)}")
        # Without an attribute value a record still has its label: it is kept, and belongs to no
        # attribute.
        return [
            label,
            *(_text(columns[attribute]) or MISSING for attribute in self._source.attributes),
        ]

    def _check_result(self) -> None:
        counts = self._counts
        checked = counts.accepted + counts.quarantined
        share = counts.quarantined / max(checked, 1)
        limit = self._source.limits.max_refused
        if share > limit:
            common = ", ".join(
                f"{reason} ({number}: {REASONS[reason]}; the first: {counts.first_details[reason]})"
                for reason, number in counts.reasons.most_common(3)
            )
            raise TooManyRefused(
                f"{counts.quarantined} of {checked} rows ({share:.0%}) were refused, the limit is "
                f"{limit:.0%}; most often {common}; see {self._store.quarantine}, then repair the "
                "input or raise source.max_refused"
            )
        for position, name in enumerate((self._source.label, *self._source.attributes)):
            if len({group[position] for group in counts.groups} - {MISSING}) < 2:
                raise SourceError(
                    f"of {checked} rows {counts.quarantined} were refused, and the train rows that "
                    f"are left have fewer than two values of '{name}'; repair the input"
                )

    def _skipped(self) -> dict[str, int | str]:
        """How many files are no row, and the first of them with the reason."""
        # Names need not be UTF-8, which summaries are.
        skipped = ((_printable(name), why) for name, why in self._source.skipped())
        first = dict(islice(skipped, _SKIPPED_SHOWN))
        return {**first, **({"others": more} if (more := sum(1 for _ in skipped)) else {})}

    def _summary(self) -> dict[str, Any]:
        counts, source = self._counts, self._source
        return {
            "read": counts.read,
            "accepted": counts.accepted,
            "quarantined": counts.quarantined,
            "excluded": counts.excluded,
            "revoked": counts.revoked,
            "excluded_by_split": _sorted(counts.excluded_by_split),
            "accepted_by_split": _sorted(counts.accepted_by_split),
            "reasons": _sorted(counts.reasons),
            "near_duplicates": counts.near_duplicates,
            "splits": source.splits_come_from(),
            "read_as": dict(source.read_as()),
            "skipped": self._skipped(),
            "orders": source.value_orders(),
            "classes": {str(i): name for i, name in self._classes.items()},
            "groups": {
                group_name(source.label, group[0], source.attributes, group[1:]): number
                for group, number in sorted(counts.groups.items())
            },
            "content": self._content.hexdigest(),
            "images_per_second": self._pace.rate(counts.accepted + counts.quarantined),
        }


class _QuarantineWriter:
    """Writes refusals to one file as they come."""

    _BATCH = 1024

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetWriter(path, QUARANTINE.schema(), compression="zstd")
        self._rows: list[dict[str, object]] = []

    def __enter__(self) -> _QuarantineWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._flush()
        self._file.close()

    def write(self, record: RawRecord, refusal: Refusal) -> None:
        self._rows.append({"row": record.row, "file_name": record.file_name, **refusal._asdict()})
        if len(self._rows) >= self._BATCH:
            self._flush()

    def _flush(self) -> None:
        self._file.write_table(QUARANTINE.table(self._rows))
        self._rows = []


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _text(value: str | None) -> str | None:
    """The value, None where nothing is written."""
    return value if value is not None and value.strip() else None


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items()))


def quarantined(store: Store) -> Iterator[dict[str, Any]]:
    """The refused rows, in the order of the input."""
    with pq.ParquetFile(store.quarantine) as file:
        QUARANTINE.check_version(file.schema_arrow)
        for batch in file.iter_batches():
            yield from batch.to_pylist()
