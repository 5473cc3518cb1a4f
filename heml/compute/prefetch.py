"""Working ahead in threads without losing order or filling memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from heml.compute.threads import processors

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Decoding a large image takes hundreds of megabytes for a moment, in every thread.
_MOST_WORKERS = 8


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Like `map`, a few items ahead in threads: for functions that leave Python, as decoding does.

    Parameters
    ----------
    function : callable
        Must be safe to run in several threads. What it raises is raised at the item's place.
    items : iterable
        Taken in order, in the caller's thread, only a few more than were yielded.

    Yields
    ------
    object
        Results in the order of the items.
    """
    workers = min(processors(), _MOST_WORKERS)
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
