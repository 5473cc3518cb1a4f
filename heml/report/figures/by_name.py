"""Every figure by one name: what Dagster assets and the report call.

Each function reads finished stages from the store and returns one PNG of at most about 150 kB and
900 pixels of width, or what another encoder of `drawing.encoding` makes of the same figure.
Figures of images that no store holds are in `heml.report.drawing`.
"""

from heml.report.figures.bias_figures import bias_figure, tree_figure
from heml.report.figures.coverage_figures import coverage_figure
from heml.report.figures.data_figures import images_figure, segments_alone_figure, segments_figure
from heml.report.figures.effect_figures import effect_figure
from heml.report.figures.node_figures import node_figure
from heml.report.figures.pair_figures import contribution_figure, pair_figure, segment_strip_figure
from heml.report.figures.plan_figures import plan_figure, rejected_figure, samples_figure

__all__ = [
    "bias_figure",
    "contribution_figure",
    "coverage_figure",
    "effect_figure",
    "images_figure",
    "node_figure",
    "pair_figure",
    "plan_figure",
    "rejected_figure",
    "samples_figure",
    "segment_strip_figure",
    "segments_alone_figure",
    "segments_figure",
    "tree_figure",
]
