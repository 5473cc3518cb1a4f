"""The stages of a recipe, by name, upstream first."""

from __future__ import annotations

from collections.abc import Iterable


def stage_names(nodes: Iterable[str], *, discovery: bool, effect: bool) -> list[str]:
    """Stages from the images to the effect: what the card and the report rest on.

    Parameters
    ----------
    nodes : iterable of str
        Of the metric tree, children first.
    discovery : bool
        Whether attributes are discovered.
    effect : bool
        Whether the effect is measured.
    """
    return [
        "images",
        "segments",
        *(f"metric/{node}" for node in nodes),
        *(["discovered_groups"] if discovery else []),
        "metric_tree",
        "bias_scores",
        "rebalance_plan",
        "recombined_samples",
        "rebalanced_dataset",
        *(["debias_effect"] if effect else []),
    ]
