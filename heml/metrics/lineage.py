"""What a node's artifacts came from: how and on what it was trained, and what it was applied to.

Weights belong to the images that they were trained on. Their embeddings of a source that has grown
since are other artifacts of the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from heml.storage.fingerprint import fingerprint
from heml.storage.store import Store

#: Key of the lineage in a node's summary.
LINEAGE = "lineage"


@dataclass(frozen=True)
class Lineage:
    """Where a node's artifacts come from; every field but the count is a fingerprint.

    Parameters
    ----------
    training : str
        Everything but the images that the weights depend on; see `heml.metrics.identity`.
    weights : str
        The weights: training, the images they were trained on, and the folds.
    trained_on : str
        Images and segments that the weights were trained on.
    train_images : int
        Images of the whole train split at that time.
    applied_to : str
        Images and segments that the embeddings are of.
    sampling : str
        What the choice of the sample and its folds depends on besides the images.
    folds : str
        The sample's folds, if an earlier state of the source decided on them; or empty.
    """

    training: str
    weights: str
    trained_on: str
    train_images: int
    applied_to: str
    sampling: str
    folds: str

    @property
    def artifacts(self) -> str:
        """Name of the artifacts: of the weights, applied to these images."""
        if self.trained_on == self.applied_to:
            return self.weights
        return fingerprint(self.weights, self.applied_to)

    def to_dict(self) -> dict[str, Any]:
        """As it is kept in a node's summary."""
        return asdict(self)

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Lineage | None:
        """The lineage in a node's summary; None if an earlier version of HEML wrote it."""
        try:
            return cls(**summary[LINEAGE])
        except (KeyError, TypeError):
            return None


def stage_name(node: str) -> str:
    """Name of a node's stage in the store."""
    return f"metric/{node}"


def weights_name(training: str, content: str, folds: str) -> str:
    """Fingerprint of weights.

    Parameters
    ----------
    training, folds : str
        As in `Lineage`.
    content : str
        Images and segments that they are trained on.
    """
    return fingerprint(training, content, folds)


def last_lineage(store: Store, node: str) -> Lineage | None:
    """Lineage of the node's last finished artifacts; None if there are none."""
    try:
        return Lineage.of(store.summary(stage_name(node)))
    except (FileNotFoundError, ValueError):
        return None


def complete_summary(store: Store, node: str) -> dict[str, Any] | None:
    """Summary of the node's last finished artifacts, if all of their files are there."""
    stage = stage_name(node)
    return store.finished(stage, store.fingerprint(stage))
