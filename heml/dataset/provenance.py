"""Where a row of the dataset came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """Where a row came from.

    Parameters
    ----------
    image_id, split, origin, group : str
        `origin` is "real" or "recombined".
    path : str or None
        Of the image, relative to the input's root.
    sha256 : str
        Of the encoded image, hexadecimal.
    host_id : str or None
    donor_ids, nodes, recolored_nodes : list of str
        Empty for real rows.
    operator, direction : str or None
    seed : int or None
    origins : dict of str to str
        Where pixels of a recombined image come from → which (COCO compressed RLE).
    generator, generator_revision, generator_licence : str or None
        Model that drew pixels of the image.
    gates : dict of str to float
        What each gate measured.
    weight : float
    licence, segmenter, segmenter_licence : str or None
    recipe_fingerprint, code_fingerprint : str
    """

    image_id: str
    split: str
    origin: str
    group: str
    path: str | None
    sha256: str
    host_id: str | None
    donor_ids: list[str]
    nodes: list[str]
    recolored_nodes: list[str]
    operator: str | None
    direction: str | None
    seed: int | None
    origins: dict[str, str]
    generator: str | None
    generator_revision: str | None
    generator_licence: str | None
    gates: dict[str, float]
    weight: float
    licence: str | None
    segmenter: str
    segmenter_licence: str | None
    recipe_fingerprint: str
    code_fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, such as JSON wants."""
        return asdict(self)
