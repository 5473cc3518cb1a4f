"""An object's outline where the image has an edge: superpixels only come near it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from heml.images.closed_form import closed_form_alpha

#: Half the width of the band along the outline in which the image decides, in pixels of the working
#: size. Wider ones gain on animals and lose on people, whose limbs are as thin.
BAND = 7


def outlined(image: np.ndarray, objectness: np.ndarray) -> np.ndarray:
    """The object with its outline moved onto edges of the image.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width, 3)
        RGB, at the working size.
    objectness : ndarray of float, shape (height, width)
        0 to 1; above a half is object.

    Returns
    -------
    ndarray of float64, shape (height, width)
        Opacity of the object, 0 to 1. Where all or nothing is object, what was given.
    """
    inside = objectness > 0.5
    if inside.all() or not inside.any():
        return objectness.astype(float)
    depth = distance_transform_edt(inside) - distance_transform_edt(~inside)
    trimap = np.select([depth > BAND, depth < -BAND], [1.0, 0.0], 0.5)
    if not ((trimap == 1).any() and (trimap == 0).any()):
        # Too thin for a sure core.
        return objectness.astype(float)
    return closed_form_alpha(image / 255, trimap)
