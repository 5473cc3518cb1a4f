"""Short stable hashes of what a result depends on."""

from __future__ import annotations

import hashlib
import json


def fingerprint(*parts: object) -> str:
    """A short stable hash of JSON-like parts (dictionaries in any order, tuples as lists).

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
