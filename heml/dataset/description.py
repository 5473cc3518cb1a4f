"""What a recipe says of its dataset: the same for data, documents and exports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Description:
    """Names and rights of a dataset.

    Parameters
    ----------
    name : str
        Of the dataset.
    label : str
        The input's column of the label.
    licence : str or None
        Of the images.
    split : str or None
        The input's column of the split, if it has one.
    """

    name: str
    label: str
    licence: str | None = None
    split: str | None = None
