"""What every source gives: one raw record per input row, unchecked. Nothing is read here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class SourceError(ValueError):
    """A source cannot be used as described; the message says what to write instead."""


class Refusal(NamedTuple):
    """Why an input row is not used.

    Parameters
    ----------
    reason : str
        A key of `data_contracts.quarantine.REASONS`.
    detail : str
        What exactly was found.
    """

    reason: str
    detail: str


class Unacceptable(ValueError):
    """An input is refused.

    Parameters
    ----------
    reason : str
        A key of `data_contracts.quarantine.REASONS`.
    detail : str
        What exactly was found.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail)


@dataclass(frozen=True)
class RawRecord:
    """One input row as the source has it.

    Parameters
    ----------
    row : int
        Position in the source, from 0.
    file_name : str
        As the source gives it.
    image_id : str
        Unique for distinct files.
    split : str or None
        As the source gives it. A row of another split than train, validation or test is excluded
        and brings neither bytes nor refusal.
    columns : dict of str to str or None
        The input's metadata, in the order of `Source.columns`; None where empty.
    image : bytes or None
        The encoded image; None if excluded or refused.
    mask : bytes or None
        The encoded mask of class ids; None if there is none.
    refusal : Refusal or None
        Set if the source itself cannot deliver the row.
    """

    row: int
    file_name: str
    image_id: str
    split: str | None
    columns: dict[str, str | None] = field(default_factory=dict)
    image: bytes | None = None
    mask: bytes | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True)
class Limits:
    """What is still accepted.

    Parameters
    ----------
    max_pixels : int
        Images with more pixels are refused.
    max_refused : float
        Share of refused rows, 0 to 1, above which the run stops.
    near_duplicates : bool, default False
        Whether an image may look like one of another split.
    """

    max_pixels: int
    max_refused: float
    near_duplicates: bool = False


class Source(Protocol):
    """A dataset that can be read row by row, any number of times, in the same order."""

    @property
    def label(self) -> str:
        """Column of the label."""

    @property
    def attributes(self) -> list[str]:
        """Columns of the attributes."""

    @property
    def labels(self) -> list[str] | None:
        """Values that the label may have; None if any."""

    @property
    def split_by(self) -> str | None:
        """Column of the subject whose rows never span splits."""

    @property
    def limits(self) -> Limits:
        """What is still accepted."""

    @property
    def derived(self) -> Mapping[str, int]:
        """Columns that tell whether the mask holds a class, and the class's id; filled later."""

    def check(self, annotated: bool = True) -> None:
        """Refuses a source that cannot work, before anything is computed.

        Parameters
        ----------
        annotated : bool, default True
            Whether masks, and so class names, are needed.

        Raises
        ------
        SourceError
        """

    def columns(self) -> list[str]:
        """The input's metadata columns, without those that name the files."""

    def classes(self) -> dict[int, str]:
        """Class id in the masks → class name; empty where nothing names them."""

    def value_orders(self) -> dict[str, list[str]]:
        """Label and attributes whose values the input declares, such as class labels, in order."""

    def splits_come_from(self) -> str:
        """What tells the splits apart, in words."""

    def skipped(self) -> Iterable[tuple[str, str]]:
        """Files below the root that no row is made of, and why."""

    def read_as(self) -> Mapping[str, str]:
        """Tables that are written in another way than usual → how they are read."""

    def records(self) -> Iterator[RawRecord]:
        """All rows in order, one at a time."""

    def state(self) -> object:
        """JSON-like description that changes whenever `records` would give something else."""

    def quick_state(self) -> object:
        """JSON-like: what of the state is known without looking at every picture.

        It changes where tables, archives or folders do; a picture that changed in place need not
        show.
        """
