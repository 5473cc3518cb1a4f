"""Closed-form matting: how much of each pixel along an outline is in front.

Levin, Lischinski & Weiss, PAMI 2008, by pymatting.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Regularization of the matting Laplacian, and the solver's tolerance: opacities are right to a
#: thousandth, which is less than a byte tells.
_EPSILON, _TOLERANCE = 1e-6, 1e-4


def closed_form_alpha(image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
    """Opacity by the matting Laplacian; the trimap's own where it has no solution.

    Parameters
    ----------
    image : ndarray of float64, shape (height, width, 3), in [0, 1]
    trimap : ndarray of float64, shape (height, width)
        1 in front, 0 behind, anything between where it is to be found.

    Returns
    -------
    ndarray of float64, shape (height, width), in [0, 1]
    """
    from pymatting import estimate_alpha_cf

    if min(trimap.shape) < 3 or not ((trimap == 1).any() and (trimap == 0).any()):
        # Nothing to tell one side from the other by.
        return (trimap >= 0.5).astype(float)
    try:
        solved: np.ndarray = estimate_alpha_cf(
            image,
            trimap,
            laplacian_kwargs={"epsilon": _EPSILON},
            cg_kwargs={"rtol": _TOLERANCE, "maxiter": 500},
        )
    except ValueError:
        # Flat drawings can leave the system singular.
        return trimap
    return solved


def prepare_matting(stage: str, progress: Callable[[str], None]) -> None:
    """Imports the matting library; its first import on a machine compiles it for a minute."""
    import importlib.util
    from pathlib import Path

    spec = importlib.util.find_spec("pymatting")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is not None and not list(folder.glob("laplacian/__pycache__/*.nbi")):
        progress(f"{stage}: compiling the matting library, once, about a minute")
    import pymatting  # noqa: F401
