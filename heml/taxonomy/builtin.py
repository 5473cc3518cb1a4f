"""The taxonomies that come with HEML, read from `heml/taxonomy/builtin_taxonomies/`."""

from __future__ import annotations

from importlib import resources

import yaml

from heml.taxonomy.taxonomy import Taxonomy, TaxonomyError, from_mapping, nearest


def builtin_names() -> list[str]:
    """Names of the taxonomies that come with HEML."""
    folder = resources.files("heml.taxonomy") / "builtin_taxonomies"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith("yaml"))


def builtin(name: str) -> Taxonomy:
    """A taxonomy that comes with HEML.

    Raises
    ------
    TaxonomyError
        With the nearest name, if there is none of this name.
    """
    if name not in builtin_names():
        raise TaxonomyError(f"unknown taxonomy '{name}'; {nearest(name, builtin_names())}")
    file = resources.files("heml.taxonomy") / "builtin_taxonomies" / f"{name}.yaml"
    return from_mapping(name, yaml.safe_load(file.read_text()))
