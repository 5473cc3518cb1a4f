"""Libraries that not every installation has: a message that names the extra to install."""

from __future__ import annotations

from importlib.util import find_spec


def missing_extra(library: str, extra: str) -> str | None:
    """What to install where a library is missing; None where it is there. Imports nothing.

    Parameters
    ----------
    library : str
        Name of the top-level package, such as "datasets".
    extra : str
        Extra of HEML that brings it.
    """
    if find_spec(library) is not None:
        return None
    return f"{library} is not installed; run pip install 'heml[{extra}]'"
