"""What figures of two images share: names, verdicts, and what a node sees of an image."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

from heml.metrics.views import node_view, union
from heml.report.drawing.style import WIDTH
from heml.report.drawing.theme import Theme
from heml.taxonomy import Taxonomy
from heml.tree.explanation import NodeExplanation
from heml.tree.inputs import Segmented, read_segmented
from heml.tree.metric_tree import MetricTree

#: Pixels of a node's view in the tree, of a segment in the strip, and of a whole image.
THUMB, SEGMENT, WHOLE = 72, 220, 300
STRIP_COLUMNS, NARROW_COLUMNS = 7, 3
NAMES = ("1st", "2nd")

_ABSENT = {
    "absent in both": "in neither",
    "absent in the first": "only in 2nd",
    "absent in the second": "only in 1st",
}
#: Pixels and class name → mask.
ReadImage = tuple[np.ndarray, dict[str, np.ndarray]]


def verdict(node: NodeExplanation) -> str:
    """A node's verdict in a word or two."""
    if node.distance is None:
        return _ABSENT.get(node.state, node.state)
    return "similar" if node.similar else "different"


def fill(node: NodeExplanation, theme: Theme) -> str:
    """Color behind a node's verdict."""
    if node.distance is None:
        return theme.absent
    return theme.similar if node.similar else theme.different


def read(tree: MetricTree, *images: Segmented) -> list[ReadImage]:
    """Pixels and masks by class name, as the tree's taxonomy has them."""
    return [read_segmented(image, tree.taxonomy, tree.classes) for image in images]


def view(image: ReadImage, node: str, taxonomy: Taxonomy, side: int) -> np.ndarray | None:
    """What a node sees of an image, uint8 (side, side, 3); None if it is absent."""
    mask = union(image[1], taxonomy.classes_of(node))
    return None if mask is None else node_view(image[0], mask, side)[:3].transpose(1, 2, 0)


def blank(side: int, theme: Theme) -> np.ndarray:
    """An image where a node sees nothing."""
    return np.broadcast_to(rgb(theme.hole), (side, side, 3))


def columns_in(width: float) -> int:
    """Segments in a line of a figure."""
    return STRIP_COLUMNS if width == WIDTH else NARROW_COLUMNS


def rgb(color: str) -> np.ndarray:
    """A color as uint8 (3,)."""
    return np.round(np.array(to_rgb(color)) * 255).astype(np.uint8)
