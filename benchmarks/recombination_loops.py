"""Recombination one image at a time, as one would write it with OpenCV or Pillow."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageFilter

from heml.recombination.compositing.compose import Edit
from heml.taxonomy import Taxonomy

Result = tuple[np.ndarray, dict[str, np.ndarray]]


def opencv(edits: Sequence[Edit], taxonomy: Taxonomy) -> list[Result]:
    """Bounding boxes, `warpAffine`, then `seamlessClone` (Pérez et al., SIGGRAPH 2003).

    Recoloring is Reinhard's color transfer with `cvtColor`: there is nothing to clone.
    """
    return [_opencv(edit, taxonomy) for edit in edits]


def pillow(edits: Sequence[Edit], taxonomy: Taxonomy) -> list[Result]:
    """Bounding boxes, `resize`, then `paste` with a feathered mask.

    Recoloring is Reinhard's color transfer on Pillow's LAB.
    """
    return [_pillow(edit, taxonomy) for edit in edits]


def _union(
    masks: dict[str, np.ndarray], classes: Sequence[str], size: tuple[int, int]
) -> np.ndarray:
    result = np.zeros(size, np.uint8)
    for name in classes:
        if name in masks:
            result |= masks[name].view(np.uint8)
    return result


def _planes(edit: Edit, taxonomy: Taxonomy) -> tuple[list[str], np.ndarray, np.ndarray]:
    classes = [c for node in edit.nodes for c in taxonomy.classes_of(node)]
    host, donor = dict(edit.host.masks), dict(edit.donor.masks)
    return (
        classes,
        _union(host, classes, edit.host.size),
        _union(donor, classes, edit.donor.size),
    )


def _masks_after(
    edit: Edit, classes: Sequence[str], pasted: np.ndarray, moved: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    masks = {n: m & ~pasted for n, m in edit.host.masks.items() if n not in classes}
    masks.update({n: m & pasted for n, m in moved.items()})
    return {n: m for n, m in masks.items() if m.any()}


def _opencv(edit: Edit, taxonomy: Taxonomy) -> Result:
    classes, old, new = _planes(edit, taxonomy)
    host, donor = edit.host.image, edit.donor.image
    height, width = edit.host.size
    if edit.operator == "recolor":
        return _opencv_recolor(host, donor, old, new), dict(edit.host.masks)
    if edit.operator == "background":
        scenery = cv2.resize(donor, (width, height))
        front = ((1 - old) * 255).astype(np.uint8)
        x, y, w, h = cv2.boundingRect(front)
        if not w:
            return scenery, dict(edit.host.masks)
        center = (x + w // 2, y + h // 2)
        result = cv2.seamlessClone(host, scenery, front, center, cv2.NORMAL_CLONE)
        return result, dict(edit.host.masks)
    x0, y0, w0, h0 = cv2.boundingRect(new)
    x1, y1, w1, h1 = cv2.boundingRect(old)
    if not w0 or not w1:
        return host.copy(), dict(edit.host.masks)
    scale = (w1 / w0 + h1 / h0) / 2
    matrix = np.array(
        [
            [scale, 0, x1 + w1 / 2 - scale * (x0 + w0 / 2)],
            [0, scale, y1 + h1 / 2 - scale * (y0 + h0 / 2)],
        ]
    )
    size = (width, height)
    warped = cv2.warpAffine(donor, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    moved = {
        name: cv2.warpAffine(edit.donor.masks[name].view(np.uint8), matrix, size) > 0
        for name in classes
        if name in edit.donor.masks
    }
    pasted = np.logical_or.reduce(list(moved.values()))
    mask = cv2.dilate(pasted.view(np.uint8) * 255, np.ones((5, 5), np.uint8))
    # Cloning wants the whole mask inside the image.
    mask[:2] = mask[-2:] = 0
    mask[:, :2] = mask[:, -2:] = 0
    x, y, w, h = cv2.boundingRect(mask)
    if not w:
        return host.copy(), dict(edit.host.masks)
    result = cv2.seamlessClone(warped, host, mask, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)
    return result, _masks_after(edit, classes, pasted, moved)


def _opencv_recolor(
    host: np.ndarray, donor: np.ndarray, old: np.ndarray, new: np.ndarray
) -> np.ndarray:
    if not old.any() or not new.any():
        return host.copy()
    own = cv2.cvtColor(host.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    other = cv2.cvtColor(donor.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    mean, deviation = cv2.meanStdDev(own, mask=old)
    wanted, spread = cv2.meanStdDev(other, mask=new)
    ratio = spread / np.maximum(deviation, 1)
    toned = (own - mean.ravel()) * ratio.ravel() + wanted.ravel()
    toned = cv2.cvtColor(toned.astype(np.float32), cv2.COLOR_LAB2RGB).clip(0, 1) * 255
    alpha = cv2.GaussianBlur(old.astype(np.float32), (0, 0), 1.0)[..., None]
    return (host * (1 - alpha) + toned * alpha).round().astype(np.uint8)


def _pillow(edit: Edit, taxonomy: Taxonomy) -> Result:
    classes, old, new = _planes(edit, taxonomy)
    host, donor = Image.fromarray(edit.host.image), Image.fromarray(edit.donor.image)
    if edit.operator == "recolor":
        return _pillow_recolor(host, donor, old, new), dict(edit.host.masks)
    if edit.operator == "background":
        scenery = donor.resize(host.size, Image.Resampling.BILINEAR)
        front = Image.fromarray((1 - old) * np.uint8(255)).filter(ImageFilter.GaussianBlur(1))
        scenery.paste(host, (0, 0), front)
        return np.asarray(scenery), dict(edit.host.masks)
    start, end = Image.fromarray(new).getbbox(), Image.fromarray(old).getbbox()
    if start is None or end is None:
        return edit.host.image.copy(), dict(edit.host.masks)
    size = (end[2] - end[0], end[3] - end[1])
    piece = donor.crop(start).resize(size, Image.Resampling.BILINEAR)
    moved = {}
    for name in classes:
        if name in edit.donor.masks:
            part = Image.fromarray(edit.donor.masks[name]).crop(start).resize(size)
            plane = np.zeros(edit.host.size, bool)
            plane[end[1] : end[3], end[0] : end[2]] = np.asarray(part)
            moved[name] = plane
    pasted = np.logical_or.reduce(list(moved.values()))
    mask = Image.fromarray(pasted.view(np.uint8) * np.uint8(255))
    mask = mask.filter(ImageFilter.GaussianBlur(1.5)).crop(end)
    host.paste(piece, end[:2], mask)
    return np.asarray(host), _masks_after(edit, classes, pasted, moved)


def _pillow_recolor(
    host: Image.Image, donor: Image.Image, old: np.ndarray, new: np.ndarray
) -> np.ndarray:
    from PIL import ImageCms

    if not old.any() or not new.any():
        return np.asarray(host)
    rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    there = ImageCms.buildTransform(rgb, lab, "RGB", "LAB")
    back = ImageCms.buildTransform(lab, rgb, "LAB", "RGB")
    planes = []
    for image in (host, donor):
        converted = np.asarray(ImageCms.applyTransform(image, there)).astype(np.float32)
        # Pillow keeps a and b as signed bytes.
        converted[..., 1:] = (converted[..., 1:] + 128) % 256
        planes.append(converted)
    own, other = planes[0][old > 0], planes[1][new > 0]
    ratio = other.std(axis=0) / np.maximum(own.std(axis=0), 1)
    toned = ((planes[0] - own.mean(axis=0)) * ratio + other.mean(axis=0)).clip(0, 255)
    toned[..., 1:] = (toned[..., 1:] + 128) % 256
    image = ImageCms.applyTransform(Image.fromarray(toned.astype(np.uint8), "LAB"), back)
    mask = Image.fromarray(old * np.uint8(255)).filter(ImageFilter.GaussianBlur(1))
    host.paste(image, (0, 0), mask)
    return np.asarray(host)
