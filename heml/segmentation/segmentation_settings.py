"""The recipe's key `segmentation`: settings of any registered segmenter."""

from __future__ import annotations

from typing import Annotated

from heml.parts.registered_settings import RegisteredSettings
from heml.segmentation.segmenter import SEGMENTERS
from heml.segmentation.segmenter_settings import SegmenterSettings

SegmentationSettings = Annotated[SegmenterSettings, RegisteredSettings(SEGMENTERS)]
