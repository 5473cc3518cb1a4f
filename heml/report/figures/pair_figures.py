"""Figures that explain a pair of train images of a store, by their ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from heml.report.drawing.contribution_bars import draw_contributions
from heml.report.drawing.encoding import Encoder, small_png
from heml.report.drawing.pair_tree import draw_pair_tree
from heml.report.drawing.segment_strip import draw_segment_strip
from heml.report.drawing.theme import LIGHT, Theme
from heml.storage.store import Store
from heml.taxonomy import Taxonomy
from heml.tree.image_records import Records
from heml.tree.metric_tree import MetricTree


def pair_figure(
    store: Store,
    taxonomy: Taxonomy,
    first_id: str,
    second_id: str,
    tree: MetricTree | None = None,
    encode: Encoder = small_png,
    theme: Theme = LIGHT,
) -> bytes:
    """The hierarchy of a pair comparison: both views and the distance at every node.

    Parameters
    ----------
    store : Store
    taxonomy : Taxonomy
        That of the tree; another one is refused.
    first_id, second_id : str
        Train images.
    tree : MetricTree, optional
        Spares reading it from the store.
    encode : callable, default small_png
    theme : Theme, default LIGHT

    Returns
    -------
    bytes
        A PNG, unless `encode` makes something else.
    """
    return _drawn(draw_pair_tree, store, taxonomy, first_id, second_id, tree, encode, theme)


def segment_strip_figure(
    store: Store,
    taxonomy: Taxonomy,
    first_id: str,
    second_id: str,
    tree: MetricTree | None = None,
    encode: Encoder = small_png,
    theme: Theme = LIGHT,
) -> bytes:
    """Single segments of two images above each other, with their distances.

    Parameters and result are those of `pair_figure`.
    """
    return _drawn(draw_segment_strip, store, taxonomy, first_id, second_id, tree, encode, theme)


def contribution_figure(
    store: Store,
    taxonomy: Taxonomy,
    first_id: str,
    second_id: str,
    tree: MetricTree | None = None,
    encode: Encoder = small_png,
    theme: Theme = LIGHT,
) -> bytes:
    """What every node adds to the total distance, in the plain and the debiased similarity.

    Parameters and result are those of `pair_figure`.
    """
    return _drawn(draw_contributions, store, taxonomy, first_id, second_id, tree, encode, theme)


def _drawn(
    draw: Callable[..., Figure],
    store: Store,
    taxonomy: Taxonomy,
    first_id: str,
    second_id: str,
    tree: MetricTree | None,
    encode: Encoder,
    theme: Theme,
) -> Any:
    tree = tree or MetricTree.load(store.metric_tree, taxonomy)
    records = Records(store.root)
    explanation = tree.explain(first_id, second_id)
    return encode(draw(tree, records[first_id], records[second_id], explanation, theme))
