"""What all segmenters' settings have."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from data_contracts.segment_stability import CHANGES
from heml.parts.settings import Settings

_ELSEWHERE = (
    "device", "checkpoint", "masks", "corrections", "stability_images", "stability_changes",
)  # fmt: skip


class SegmenterSettings(Settings):
    """Of any segmenter: which segments are doubted, and what happens to them.

    Every segmenter's own settings add `kind: Literal["its name"]`.
    """

    kind: str
    least_area: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Segments of a smaller share of the image are doubted as small.",
    )
    least_confidence: float = Field(
        0.0, ge=0, le=1, description="Segments below this mean probability are doubted as unsure."
    )
    doubted: Literal["keep", "drop"] = Field(
        "keep", description="keep: marked in the table; drop: counted and left out."
    )
    corrections: str | None = Field(
        None,
        description="File of corrected segments, relative to the recipe, as heml segments correct "
        "writes it: used in place of those found.",
    )

    def described(self) -> dict[str, Any]:
        """What segments depend on, JSON-like, for a fingerprint.

        Without where checkpoints lie, whose content is part of a segmenter's state, without
        corrections, whose content the stage adds, and without how stability is measured.
        """
        nested = {name: value for name, value in self if isinstance(value, SegmenterSettings)}
        content = self.model_dump(exclude={*_ELSEWHERE, *nested})
        return content | {name: value.described() for name, value in nested.items()}


class PredictorSettings(SegmenterSettings):
    """Of segmenters that find one segment per leaf of the taxonomy in the pixels."""

    least_area: float = Field(
        0.0005, ge=0, lt=1, description="Segments of a smaller share are doubted as small."
    )
    least_confidence: float = Field(
        0.5, ge=0, le=1, description="Segments below this mean probability are doubted as unsure."
    )
    doubted: Literal["keep", "drop"] = Field(
        "drop", description="keep: marked in the table; drop: counted and left out."
    )
    batch_size: int = Field(8, ge=1, description="Images segmented together.")
    stability_images: int = Field(
        32,
        ge=0,
        description="Images, chosen by hash, that are segmented again with every small change to "
        "measure how stable their segments are; 0: none.",
    )
    stability_changes: list[Literal["mirror", "shift", "zoom"]] = Field(
        ["mirror", "shift", "zoom"],
        min_length=1,
        description="Those changes. Leave mirror out where leaves tell left from right.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    @property
    def changes(self) -> list[str]:
        """Changes with which stability is measured, once each; none where it is not measured.

        A segmenter that must not learn from mirror images (a setting of its own) is not judged by
        them.
        """
        wanted = set(self.stability_changes) if self.stability_images else set()
        if not getattr(self, "mirror", True):
            wanted.discard("mirror")
        return [name for name in CHANGES if name in wanted]
