"""Rows of the `segments` table from one image's class indices, and which of them are doubted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as coco

from data_contracts.segments import DOUBTS

#: What made a segment that is the input's own mask.
ANNOTATED = "annotated"

_SMALL, _UNSURE = DOUBTS


def segment_rows(
    image_id: str,
    ids: np.ndarray,
    names: Mapping[int, str],
    confidence: Mapping[int, float] | None = None,
    segmenter: str = ANNOTATED,
    licence: str | None = None,
) -> list[dict[str, Any]]:
    """Rows of the `segments` contract for one image, in the order of the ids.

    Parameters
    ----------
    image_id : str
    ids : ndarray of uint8, shape (height, width)
    names : mapping of int to str
        Id → class name; ids that are not in it get no row.
    confidence : mapping of int to float, optional
        Id → mean probability in [0, 1]. Default: 1.
    segmenter : str, default "annotated"
    licence : str, optional
        License of the segmenter.
    """
    height, width = ids.shape
    found = np.bincount(ids.ravel(), minlength=256)
    present = [i for i in sorted(names) if found[i]]
    if not present:
        return []
    # COCO wants the class last and columns first: the transpose of what is made here
    columns_first = np.ascontiguousarray(ids.T)
    stacked = (np.array(present, np.uint8)[:, None, None] == columns_first).view(np.uint8).T
    encoded = coco.encode(stacked)
    boxes = coco.toBbox(encoded).astype(int)
    return [
        {
            "image_id": image_id,
            "class_name": names[i],
            "rle": rle["counts"].decode("ascii"),
            "height": height,
            "width": width,
            "area": int(found[i]),
            "box_x": int(box[0]),
            "box_y": int(box[1]),
            "box_width": int(box[2]),
            "box_height": int(box[3]),
            "confidence": 1.0 if confidence is None else round(confidence[i], 6),
            "doubt": None,
            "segmenter": segmenter,
            "segmenter_licence": licence,
        }
        for i, rle, box in zip(present, encoded, boxes, strict=True)
    ]


def doubt(row: Mapping[str, Any], least_area: float, least_confidence: float) -> str | None:
    """Why a segment is doubted: "small", "unsure", or None.

    Parameters
    ----------
    row : mapping
        A row of `segment_rows`.
    least_area : float
        Share of the image's pixels, 0 to 1.
    least_confidence : float
        Mean probability, 0 to 1.
    """
    if row["area"] < least_area * row["height"] * row["width"]:
        return _SMALL
    return _UNSURE if row["confidence"] < least_confidence else None
