"""Node views show the node's pixels and nothing else."""

import numpy as np

from heml.metrics.views import NEUTRAL, ViewWriter, node_view, open_views, union


def test_pixels_outside_the_mask_never_reach_the_view():
    mask = np.zeros((40, 60), bool)
    mask[10:20, 10:30] = True
    image = np.zeros((40, 60, 3), np.uint8)
    image[mask] = (200, 100, 50)
    other = image.copy()
    other[~mask] = 255
    np.testing.assert_array_equal(node_view(image, mask, 32), node_view(other, mask, 32))


def test_view_is_square_and_keeps_proportions():
    mask = np.zeros((100, 100), bool)
    mask[40:60, 10:90] = True
    coverage = node_view(np.full((100, 100, 3), 255, np.uint8), mask, 64)[3] > 127
    rows, columns = coverage.any(axis=1).sum(), coverage.any(axis=0).sum()
    assert 3.3 < columns / rows < 4.7


def test_absent_node_is_neutral_without_coverage():
    view = node_view(np.zeros((8, 8, 3), np.uint8), None, 16)
    assert (view[:3] == NEUTRAL).all()
    assert (view[3] == 0).all()


def test_one_pixel_in_the_corner():
    mask = np.zeros((9, 9), bool)
    mask[0, 0] = True
    assert node_view(np.full((9, 9, 3), 7, np.uint8), mask, 16)[3].max() > 0


def test_union():
    a, b = np.eye(3, dtype=bool), ~np.eye(3, dtype=bool)
    assert union({"a": a, "b": b}, ["a", "b"]).all()
    assert union({"a": a}, ["b"]) is None
    assert union({"a": np.zeros((3, 3), bool)}, ["a"]) is None


def test_writer_keeps_order(tmp_path):
    paths = {"all": tmp_path / "all.npy"}
    writer = ViewWriter(paths, {"all": 8}, {"all": ["thing"]}, count=3)
    full = {"thing": np.ones((10, 10), bool)}
    for row, value in enumerate((0, 100, 200)):
        writer.put(row, np.full((10, 10, 3), value, np.uint8), full)
    writer.close()
    views = open_views(paths["all"])
    assert views.shape == (3, 4, 8, 8)
    assert [int(view[0, 4, 4]) for view in views] == [0, 100, 200]
