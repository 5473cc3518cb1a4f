"""Open vocabularies: words that a column may hold, where others may add words.

Contracts are below the code that knows which operators, gates or arms there are. That code provides
the words when it is imported; until then a column of the vocabulary takes any text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class Vocabulary:
    """Names of one kind of part.

    Parameters
    ----------
    kind : str
        What the words name, in the plural: "operators".
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._provide: Callable[[], Iterable[str]] | None = None

    def provided_by(self, provide: Callable[[], Iterable[str]]) -> None:
        """Says who knows the words; asked every time, because parts may be added later."""
        self._provide = provide

    def words(self) -> tuple[str, ...] | None:
        """The words that there are now; None if nobody provides them."""
        return None if self._provide is None else tuple(self._provide())
