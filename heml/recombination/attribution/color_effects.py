"""What an attribute's value changes in the colors of a segment whose colors encode the label.

A scanner, a lamp or a season tints all of an image, the segment that shows the label as well. That
segment cannot take a donor's colors, which would bring the donor's label along; but it can change
by what the attribute changes in it within a label. Least squares tells the two apart as long as a
few records conflict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import f as f_distribution

#: Attribute → leaf → value → change of the mean in LAB, 0 on average over the values.
ColorEffects = dict[str, dict[str, dict[str, tuple[float, float, float]]]]
#: Highest p-value, for the three channels together, at which colors change.
SIGNIFICANT = 0.01
#: Degrees of freedom that the fit needs.
LEAST_FREEDOM = 10


def color_effects(
    colors: np.ndarray, labels: Sequence[str], attributes: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """What the values of each attribute change in a segment's mean color.

    Colors are explained by the sum of a term of the label and one of each attribute's value (least
    squares); a channel in which an attribute explains nothing (F test) is left alone.

    Parameters
    ----------
    colors : float array (n, 3)
        Mean LAB of the segment.
    labels : sequence of str
    attributes : mapping of str to sequence of str
        Values of each record.

    Returns
    -------
    dict
        Attribute → value → change in LAB. Attributes without a significant change are left out, and
        all where label and attributes cannot be told apart.
    """
    label_terms = _indicators(labels)
    terms = {name: _indicators(values)[:, 1:] for name, values in attributes.items()}
    design = np.column_stack([label_terms, *terms.values()])
    freedom = len(colors) - design.shape[1]
    if freedom < LEAST_FREEDOM or np.linalg.matrix_rank(design) < design.shape[1]:
        return {}
    fitted, rest = _fit(design, colors)
    noise = rest / freedom
    found = {}
    start = label_terms.shape[1]
    for name, own in terms.items():
        place = np.arange(start, start + own.shape[1])
        start += own.shape[1]
        if not own.shape[1]:
            continue
        _, without = _fit(np.delete(design, place, axis=1), colors)
        statistic = (without - rest) / own.shape[1] / np.maximum(noise, 1e-12)
        chance = f_distribution.sf(statistic, own.shape[1], freedom)
        # Three channels are tried: Bonferroni.
        changed = chance * colors.shape[1] <= SIGNIFICANT
        if changed.any():
            effects = np.vstack([np.zeros(colors.shape[1]), fitted[place]]) * changed
            effects -= effects.mean(axis=0)
            found[name] = {
                value: (float(row[0]), float(row[1]), float(row[2]))
                for value, row in zip(sorted(set(attributes[name])), effects, strict=True)
            }
    return found


def _indicators(values: Sequence[str]) -> np.ndarray:
    """A column of 0 and 1 for each value, in their order; float (n, values)."""
    names = sorted(set(values))
    return (np.array(values, object)[:, None] == np.array(names, object)).astype(float)


def _fit(design: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (terms, 3) and sums of squared residuals (3,)."""
    fitted = np.linalg.lstsq(design, colors, rcond=None)[0]
    return fitted, ((colors - design @ fitted) ** 2).sum(axis=0)
