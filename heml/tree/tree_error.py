"""What the metric tree refuses."""

from __future__ import annotations

from collections.abc import Collection

from heml.taxonomy import nearest

#: Looking for the nearest of more ids than these would take longer than an error may.
_MOST_IDS = 20_000


class TreeError(ValueError):
    """An unknown node, image or column, a malformed image, or a tree of another kind."""


def id_hint(image_id: str, ids: Collection[str]) -> str:
    """The nearest id, or what ids look like; they are too many to list."""
    if not ids:
        return "there are none"
    hint = nearest(image_id, ids) if len(ids) <= _MOST_IDS else ""
    return hint if hint.startswith("did you mean") else f"ids are like '{next(iter(ids))}'"
