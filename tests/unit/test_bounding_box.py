"""The bounding box of a mask."""

import numpy as np

from heml.images.bounding_box import bounding_box


def test_box_holds_all_pixels_and_no_more():
    mask = np.zeros((6, 8), bool)
    mask[2, 3] = mask[4, 6] = True
    assert bounding_box(mask) == (3, 2, 7, 5)


def test_an_empty_mask_has_no_box():
    assert bounding_box(np.zeros((2, 2), bool)) is None
