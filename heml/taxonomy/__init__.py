"""Semantic classes, leaves and the tree that combines them. The built-in ones are in `taxonomies/`.

Nothing here knows of images or networks. `heml taxonomy --help` lists and shows the
built-in ones and proposes a new one from trained leaves.
"""

from heml.taxonomy.builtin import builtin, builtin_names
from heml.taxonomy.taxonomy import (
    BACKGROUND,
    BEHIND,
    Kind,
    Taxonomy,
    TaxonomyError,
    background_among,
    from_mapping,
    nearest,
)

__all__ = [
    "BACKGROUND",
    "BEHIND",
    "Kind",
    "Taxonomy",
    "TaxonomyError",
    "background_among",
    "builtin",
    "builtin_names",
    "from_mapping",
    "nearest",
]
