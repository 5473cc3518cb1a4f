"""Telling faults that pass by themselves from those that do not.

A connection that broke is worth another try; a recipe that is wrong, a missing file, a full disk
and a bug are not.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

_PASSING = {
    errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNABORTED,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET,
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EPIPE,
}  # fmt: skip
_FULL = {errno.ENOSPC, errno.EDQUOT}
#: Libraries that talk to other machines; their errors are known by name, so none is imported.
_NETWORK = {"aiohttp", "botocore", "httpcore", "httpx", "requests", "s3fs", "urllib3"}
_WORDS = ("Connect", "Disconnect", "Timeout", "Payload", "IncompleteRead", "Protocol")


def passes(error: BaseException) -> bool:
    """Whether the fault, or what it came from, may be gone at the next try."""
    return any(_passes(each) for each in _chain(error))


def disk_full(error: BaseException) -> bool:
    """Whether there was no room to write."""
    return any(isinstance(each, OSError) and each.errno in _FULL for each in _chain(error))


def _passes(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    return any(
        kind.__module__.partition(".")[0] in _NETWORK and any(w in kind.__name__ for w in _WORDS)
        for kind in type(error).__mro__
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
