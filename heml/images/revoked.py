"""Images that must no longer be used: kept with the store, obeyed by every stage that reads input.

Kept by id and by content, so that the same picture under another name stays out too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from heml.storage.store import Store


@dataclass(frozen=True)
class Revoked:
    """What was revoked so far.

    Parameters
    ----------
    times : int
        How often images were revoked.
    images : mapping of str to str
        Image id → SHA-256 of its bytes, hexadecimal.
    """

    times: int
    images: dict[str, str]

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self.images

    def covers(self, image_id: str, data: bytes | None) -> bool:
        """Whether an input row is a revoked image, by its id or by its bytes."""
        if image_id in self.images:
            return True
        return (
            bool(self.images)
            and data is not None
            and hashlib.sha256(data).hexdigest() in self._hashes
        )

    @cached_property
    def _hashes(self) -> frozenset[str]:
        return frozenset(self.images.values())

    def state(self) -> list[object]:
        """For fingerprints: nothing as long as nothing is revoked."""
        return [self.images] if self.images else []


def read_revoked(store: Store) -> Revoked:
    """What was revoked in a store."""
    if not store.revoked.exists():
        return Revoked(0, {})
    content = json.loads(store.revoked.read_text())
    return Revoked(int(content["times"]), dict(content["images"]))
