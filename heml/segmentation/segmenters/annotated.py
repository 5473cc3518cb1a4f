"""Segments are the input's masks."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from heml.segmentation.segmenter import (
    SEGMENTERS,
    SegmentationContext,
    SegmentationJob,
    Segmenter,
)
from heml.segmentation.segmenter_settings import SegmenterSettings


class AnnotatedSegmentation(SegmenterSettings):
    """Segments are the input's masks."""

    kind: Literal["annotated"] = "annotated"


class Annotated(Segmenter):
    """One segment for each class of a mask."""

    name: ClassVar[str] = "annotated"
    rank: ClassVar[int] = 0
    description: ClassVar[str] = "the input's own masks"
    settings: ClassVar[type[SegmenterSettings]] = AnnotatedSegmentation
    needs_masks: ClassVar[bool] = True
    gives_leaves: ClassVar[bool] = False

    def job(self, settings: AnnotatedSegmentation, context: SegmentationContext) -> SegmentationJob:
        """Decodes masks."""
        from heml.segmentation.row_group_job import FromMasks

        classes = dict(context.classes)
        return SegmentationJob(partial(FromMasks, context.store, classes), [*classes.values()])


SEGMENTERS.register(Annotated())
