"""Figures of pairs: drawn from images in memory, on light and dark pages, and true to the tree."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from heml.metrics.node_network import new_network
from heml.report.drawing.contribution_bars import contributions, draw_contributions
from heml.report.drawing.encoding import pixels
from heml.report.drawing.pair_tree import draw_pair_tree
from heml.report.drawing.segment_strip import draw_segment_strip
from heml.report.drawing.segments_alone import draw_segments
from heml.report.drawing.style import ink_on
from heml.report.drawing.theme import DARK, LIGHT
from heml.taxonomy import Taxonomy, builtin
from heml.tree.explanation import NodeExplanation, PairExplanation
from heml.tree.metric_tree import Embedded, MetricTree
from heml.tree.similarity import Similarity

CLASSES = {0: "background", 1: "face", 2: "hat"}
TAXONOMY = Taxonomy(
    "small",
    {"background": ("background",), "face": ("face",), "hat": ("hat",)},
    {"head": ("face", "hat"), "image": ("background", "head")},
)
NODES = TAXONOMY.nodes
DRAWINGS = [
    draw_pair_tree,
    draw_segment_strip,
    draw_contributions,
]


@pytest.fixture(scope="module")
def tree() -> MetricTree:
    rng = np.random.default_rng(0)
    weights = {w: Similarity(tuple(NODES), rng.random(5), rng.random(5), 0.8)
               for w in ("plain", "debiased")}  # fmt: skip
    return MetricTree(
        TAXONOMY, dict.fromkeys(NODES, 8), dict.fromkeys(NODES, 0.3),
        {node: new_network(8, seed) for seed, node in enumerate(NODES)}, weights,
        Embedded({n: np.zeros((1, 8), np.float32) for n in NODES},
                 {n: np.ones(1, bool) for n in NODES}),
        [{"image_id": "image-0", "label": "a"}], 3, CLASSES,
    )  # fmt: skip


def image(number: int, hat: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    ids = np.zeros((24, 18), np.uint8)
    ids[8:18, 4:14] = 1
    if hat:
        ids[2:8, 5:12] = 2
    return rng.integers(0, 256, (24, 18, 3), np.uint8), ids


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("draw", DRAWINGS)
def test_a_pair_in_memory_is_drawn_in_its_theme(tree, draw, theme):
    figure = draw(tree, image(1, True), image(2, False), theme=theme)
    drawn = np.asarray(pixels(figure, 0.5))
    paper = np.round(np.array(to_rgb(theme.paper)) * 255)
    assert (drawn[-1, -1] == paper).all()
    assert (drawn != paper).any(axis=2).mean() > 0.05


def test_the_tree_shows_every_distance_and_missing_segment(tree):
    pair = image(1, True), image(2, False)
    said = texts(draw_pair_tree(tree, *pair))
    explained = tree.explain(*pair)
    assert set(NODES) <= set(said)
    assert "only in 1st" in said
    for node in explained.nodes:
        if node.distance is not None:
            sign = "≈" if node.similar else "≠"
            shown = [text for text in said if text.endswith(sign)]
            assert any(abs(float(t.split()[0]) - node.distance) < 0.006 for t in shown)


def test_bars_begin_where_the_one_above_ends_and_end_at_the_total(tree):
    pair = image(1, True), image(2, False)
    figure = draw_contributions(tree, *pair)
    totals = tree.explain(*pair).totals
    for axes in figure.axes:
        if not axes.get_title():
            continue
        *bars, total = [(b.get_x(), b.get_x() + b.get_width()) for b in axes.patches]
        assert bars[0][0] == pytest.approx(0)
        for (_, end), (start, _) in pairwise(bars):
            assert start == pytest.approx(end)
        which = axes.get_title().split(":")[0].lower()
        assert total == (0, pytest.approx(totals[which]))
        assert bars[-1][1] == pytest.approx(totals[which])


def test_small_contributions_are_summed():
    parts = [
        NodeExplanation(
            f"n{i}",
            "compared",
            1,
            1,
            0.5,
            0.3,
            False,
            {"plain": 1 / (i + 1), "debiased": 0.001 * i},
        )
        for i in range(30)
    ]
    totals = {w: sum(p.contributions[w] for p in parts) for w in ("plain", "debiased")}
    offsets = {"plain": 1.0, "debiased": 1.0}
    names, shares = contributions(PairExplanation(parts, totals, offsets, totals))
    assert names[:2] == ["n0", "n1"]
    assert names[-1] == "20 more"
    for which, total in totals.items():
        assert sum(shares[which]) == pytest.approx(total)


def test_segments_alone_show_each_leaf_at_its_place():
    pixel, ids = image(3, True)
    masks = {name: ids == number for number, name in CLASSES.items()}
    figure = draw_segments(TAXONOMY, [(pixel, masks), (pixel, {})])
    assert texts(figure) == ["background", "face", "hat", "no segments"]
    # The whole image stands before its segments.
    shown = figure.axes[0].images[3].get_array()
    hole = np.round(np.array(to_rgb(LIGHT.hole)) * 255)
    assert (shown[-1] == hole).all()  # the hat is at the top


def test_large_taxonomies_are_drawn():
    scenes = builtin("sceneparse150")
    masks = {name: np.ones((8, 8), bool) for name in scenes.class_names[:60]}
    figure = draw_segments(scenes, [(np.zeros((8, 8, 3), np.uint8), masks)])
    assert pixels(figure, 0.3).width > 100


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_readable_on_every_fill(theme):
    def luminance(color: str) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
                  for c in to_rgb(color)]  # fmt: skip
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    def contrast(a: str, b: str) -> float:
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    for fill in (theme.paper, theme.similar, theme.different, theme.absent):
        assert contrast(theme.ink, fill) >= 7  # WCAG 2.2, level AAA
        assert contrast(ink_on(fill), fill) >= 7
    assert contrast(theme.muted, theme.paper) >= 4.5
    for bar in (theme.blue, theme.orange, theme.gray):
        assert contrast(bar, theme.paper) >= 3  # graphical objects


@pytest.mark.parametrize("scale", [1, 1.1, 2])
def test_notes_fit_the_width_of_the_figure(tree, scale):
    figure = draw_pair_tree(tree, image(1, True), image(2, False))
    drawn = pixels(figure, scale)
    for text in figure.texts:
        assert text.get_window_extent().x1 <= drawn.width
