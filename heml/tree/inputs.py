"""Images that the tree is asked about: from what a notebook has to pixels and masks by class.

What does not fit is refused with what was expected and what was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from heml.taxonomy import Taxonomy, nearest
from heml.tree.tree_error import TreeError

Pixels = np.ndarray | Image.Image
#: Class name → bool (H, W), or class ids (H, W) as in the masks of the dataset.
Segments = Mapping[str, np.ndarray] | np.ndarray | Image.Image
#: An image with its segments.
Segmented = tuple[Pixels, Segments]


def read_segmented(
    image: Any, taxonomy: Taxonomy, classes: Mapping[int, str]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Pixels and masks of an image with its segments.

    Parameters
    ----------
    image : (image, segments)
        The image as uint8 array (H, W, 3) or (H, W), or as PIL image; the segments as mapping of
        class name to bool array (H, W), or as a mask of class ids.
    taxonomy : Taxonomy
    classes : mapping of int to str
        Names of the ids in masks of class ids.

    Returns
    -------
    pixels, masks
        uint8 (H, W, 3), and class name → bool (H, W).

    Raises
    ------
    TreeError
    """
    if not (isinstance(image, tuple | list) and len(image) == 2):
        raise TreeError(
            f"an image must be a train image's id or (image, segments), found "
            f"{type(image).__name__}; segments are masks by class name, or a mask of class ids"
        )
    pixels = _pixels(image[0])
    masks = _masks(image[1], taxonomy, classes)
    for name, mask in masks.items():
        if mask.shape != pixels.shape[:2]:
            raise TreeError(
                f"the mask of '{name}' is {_size(mask)}, the image {_size(pixels)}: "
                "they must be of one size"
            )
    return pixels, masks


def _size(array: np.ndarray) -> str:
    return " × ".join(str(side) for side in array.shape[1::-1])


def _pixels(image: Any) -> np.ndarray:
    if isinstance(image, Image.Image):
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    if not isinstance(image, np.ndarray):
        raise TreeError(
            f"an image must be a uint8 array (H, W, 3) or a PIL image, found {type(image).__name__}"
        )
    if image.dtype != np.uint8:
        raise TreeError(
            f"pixels must be uint8 from 0 to 255, found {image.dtype}: convert them first"
        )
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise TreeError(f"an image must be (H, W, 3), found {image.shape}")
    return image


def _masks(segments: Any, taxonomy: Taxonomy, classes: Mapping[int, str]) -> dict[str, np.ndarray]:
    if isinstance(segments, Mapping):
        known = {*taxonomy.class_names, *taxonomy.ignored}
        masks = {}
        for name, mask in segments.items():
            if name not in known:
                raise TreeError(f"there is no class '{name}'; {nearest(str(name), known)}")
            array = np.asarray(mask)
            if array.ndim != 2 or array.dtype != bool:
                raise TreeError(
                    f"the mask of '{name}' must be bool (H, W), found {array.dtype} {array.shape}"
                )
            masks[name] = array
        return masks
    ids = np.asarray(segments)
    if ids.ndim != 2 or ids.dtype.kind not in "ui":
        raise TreeError(
            f"a mask of class ids must be whole numbers (H, W), found {ids.dtype} {ids.shape}"
        )
    if not classes:
        raise TreeError("this tree knows no class ids: give the masks by class name")
    found = np.unique(ids).tolist()
    if unknown := [number for number in found if number not in classes]:
        raise TreeError(
            f"the mask has the unknown class id {unknown[0]}; known: "
            + ", ".join(f"{number} {name}" for number, name in classes.items())
        )
    return {classes[number]: ids == number for number in found}
