"""What is kept beside the weights of a fitted segmenter: what it was fitted on, how good it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from heml.segmentation.iou import MeanIoU

_RESULT = "result.json"


@dataclass(frozen=True)
class Fitted:
    """A fitted segmenter.

    Parameters
    ----------
    folder : pathlib.Path
        A transformers checkpoint whose labels are leaves.
    images : int
        Annotated images that it was fitted on.
    steps : int
    held_out : MeanIoU
        On annotated train images that it was not fitted on, at their full size.
    pseudo_labels : dict
        Facts about the pseudo-labels; empty where none were wanted.
    """

    folder: Path
    images: int
    steps: int
    held_out: MeanIoU
    pseudo_labels: dict[str, Any] = field(default_factory=dict)

    @property
    def licence(self) -> str | None:
        """Of the segmenter whose pseudo-labels it learned from, if it did."""
        used = self.pseudo_labels.get("pseudo_labeled_images", 0)
        return self.pseudo_labels["pseudo_labeler_licence"] if used else None

    @property
    def facts(self) -> dict[str, Any]:
        """For the stage's summary."""
        found = self.held_out
        return {
            "mean_iou": round(found.value, 6),
            "mean_iou_low": round(found.low, 6),
            "mean_iou_high": round(found.high, 6),
            "iou": {n: v if v is None else round(v, 6) for n, v in found.by_class.items()},
            "held_out_images": found.images,
            "fitted_images": self.images,
            "fitted_steps": self.steps,
            **self.pseudo_labels,
        }

    def write(self, folder: Path) -> None:
        """Beside the weights, while these are written aside."""
        content = {
            "images": self.images,
            "steps": self.steps,
            "held_out": asdict(self.held_out),
            "pseudo_labels": self.pseudo_labels,
        }
        (folder / _RESULT).write_text(json.dumps(content, indent=1))

    @classmethod
    def read(cls, folder: Path) -> Fitted | None:
        """What `write` wrote; None if there is no finished segmenter."""
        try:
            content = json.loads((folder / _RESULT).read_text())
        except FileNotFoundError:
            return None
        return cls(
            folder,
            content["images"],
            content["steps"],
            MeanIoU(**content["held_out"]),
            content["pseudo_labels"],
        )
