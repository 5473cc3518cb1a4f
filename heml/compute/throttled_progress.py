"""How far a long stage is: a line now and then, and the rate in the end."""

from __future__ import annotations

import time

from heml.compute.progress import Progress


class ThrottledProgress:
    """Reports at most every few seconds.

    Parameters
    ----------
    progress : Progress
    seconds : float, default 2
        Least time between two lines.
    """

    def __init__(self, progress: Progress, seconds: float = 2.0) -> None:
        self._progress = progress
        self._seconds = seconds
        self._start = self._last = time.monotonic()

    def tell(self, line: str) -> None:
        """Says the line unless one was said a moment ago."""
        now = time.monotonic()
        if now - self._last >= self._seconds:
            self._last = now
            self._progress(line)

    def rate(self, count: int) -> float:
        """Things per second since the start."""
        return round(count / max(time.monotonic() - self._start, 1e-9), 1)
