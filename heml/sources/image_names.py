"""Names of files that are taken for images where no table says which are."""

from __future__ import annotations

from pathlib import PurePosixPath

IMAGE_SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)


def is_image(name: str) -> bool:
    """Whether a file's ending is that of an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def why_skipped(name: str) -> str:
    """Why a file of a dataset is not used that no row names."""
    return "an image that no row names" if is_image(name) else "no part of this layout"
