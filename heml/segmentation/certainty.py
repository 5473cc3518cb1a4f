"""One number for how sure an image's segments are, to show the doubtful ones first."""

from __future__ import annotations

from collections.abc import Mapping


def certainty(confidence: Mapping[str, float], stability: Mapping[str, float]) -> float:
    """Mean over an image's segments of confidence times stability, 0 to 1.

    Parameters
    ----------
    confidence : mapping of str to float
        Of the segments that the image has, by name.
    stability : mapping of str to float
        Likewise; a segment without one counts as stable. Other names do not count.

    Returns
    -------
    float
        0 for an image without segments.
    """
    sure = [value * stability.get(name, 1.0) for name, value in confidence.items()]
    return sum(sure) / len(sure) if sure else 0.0
