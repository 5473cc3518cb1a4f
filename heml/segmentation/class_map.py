"""From the classes of a checkpoint to the leaves of a taxonomy, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from heml.taxonomy import Taxonomy, TaxonomyError, nearest


def leaf_of_classes(
    labels: Mapping[int, str], taxonomy: Taxonomy, overrides: Mapping[str, str | None]
) -> dict[int, str | None]:
    """The leaf that each class of a checkpoint belongs to.

    A class is found by its name, or by one of several ("building;edifice", "door, double door"),
    among the leaves, then among the classes of the taxonomy; case, spaces and signs do not count.

    Parameters
    ----------
    labels : mapping of int to str
        The checkpoint's `id2label`.
    taxonomy : Taxonomy
    overrides : mapping of str to str or None
        Checkpoint's class name → leaf or class of the taxonomy; None: ignored.

    Returns
    -------
    dict of int to (str or None)
        None for ignored classes.

    Raises
    ------
    TaxonomyError
        If an override names what neither side has, or classes remain unknown.
    """
    for name in overrides:
        if name not in labels.values():
            raise TaxonomyError(
                f"segmentation.classes: the checkpoint has no class '{name}'; "
                + nearest(name, labels.values())
            )
    known: dict[str, str | None] = {_plain(name): None for name in taxonomy.ignored}
    known |= {_plain(c): leaf for leaf, names in taxonomy.leaves.items() for c in names}
    known |= {_plain(leaf): leaf for leaf in taxonomy.leaves}
    found: dict[int, str | None] = {}
    unknown = []
    for i, label in labels.items():
        names = [label]
        if label in overrides:
            override = overrides[label]
            if override is None:
                found[i] = None
                continue
            if _plain(override) not in known:
                raise TaxonomyError(
                    f"segmentation.classes.{label}: taxonomy '{taxonomy.name}' has no "
                    f"'{override}'; {nearest(override, [*taxonomy.leaves, *taxonomy.class_names])}"
                )
            names = [override]
        match = next((p for n in names for p in _spellings(n) if p in known), None)
        if match is None:
            unknown.append(label)
        else:
            found[i] = known[match]
    if unknown:
        shown = ", ".join(f"'{name}'" for name in unknown[:8])
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        raise TaxonomyError(
            f"taxonomy '{taxonomy.name}' does not name the checkpoint's classes {shown}{more}; "
            "map each to a leaf, or to null, under segmentation.classes"
        )
    if not any(found.values()):
        raise TaxonomyError(f"taxonomy '{taxonomy.name}': no class of the checkpoint is in a leaf")
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def _spellings(label: str) -> list[str]:
    return [_plain(label), *(_plain(part) for part in re.split(r"[;,/]", label))]
