"""Values of a dataset in comments and on terminals: whatever they hold, they stay on their line."""

from __future__ import annotations


def one_line(text: str, longest: int = 120) -> str:
    """The text with escapes for line breaks, control characters and what cannot be printed.

    Parameters
    ----------
    text : str
    longest : int, default 120
        What is longer is cut, with an ellipsis.
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
