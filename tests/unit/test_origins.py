"""Where each pixel of a sample comes from."""

from dataclasses import replace

import numpy as np
import pytest

from heml.recombination.compositing.compose import compose
from heml.recombination.imaging.segmented_image import Recombined, SegmentedImage
from heml.recombination.origins import Generator, origin_columns, origin_masks
from heml.segmentation.masks import decode
from heml.taxonomy import builtin


def row(*values: int) -> np.ndarray:
    return np.array([values], bool)


SAMPLE = Recombined(
    np.zeros((1, 4, 3), np.uint8), {}, pasted=row(0, 1, 1, 1), filled=row(0, 0, 1, 1)
)
DRAWN = replace(SAMPLE, generated=row(0, 0, 0, 1))
GENERATOR = Generator("owner/name", "abc", "mit")


def test_every_pixel_has_the_origin_of_the_last_step():
    found = {name: mask.tolist() for name, mask in origin_masks(DRAWN).items()}
    assert found == {
        "host": [[True, False, False, False]],
        "donor": [[False, True, False, False]],
        "filled": [[False, False, True, False]],
        "generated": [[False, False, False, True]],
    }


def test_a_sample_without_marks_is_the_hosts():
    masks = origin_masks(Recombined(np.zeros((2, 2, 3), np.uint8), {}))
    assert list(masks) == ["host"]
    assert masks["host"].all()


def test_the_generator_is_named_only_where_it_drew():
    assert origin_columns(SAMPLE, GENERATOR)["generator"] is None
    columns = origin_columns(DRAWN, GENERATOR)
    assert columns["generator"] == "owner/name"
    assert columns["generator_revision"] == "abc"
    assert columns["generator_licence"] == "mit"
    with pytest.raises(ValueError, match="no generator is named"):
        origin_columns(DRAWN, None)


@pytest.mark.parametrize(
    ("operator", "node"), [("transplant", "mouth"), ("background", "background")]
)
def test_pixels_of_the_host_are_the_hosts_and_origins_cover_the_image(operator, node):
    """Away from the blended seam, what is said to be the host's equals the host."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(2):
        masks = {name: np.zeros((64, 64), bool) for name in ("mouth", "skin", "background")}
        masks["mouth"][36:44, 24:40] = True
        masks["skin"][12:52, 12:52] = True
        masks["skin"] &= ~masks["mouth"]
        masks["background"] = ~(masks["skin"] | masks["mouth"])
        images.append(SegmentedImage(rng.integers(0, 256, (64, 64, 3), np.uint8), masks))
    host, donor = images
    sample = compose(operator, host, donor, [node], builtin("portraits"))
    origins = origin_columns(sample, None)["origins"]
    masks = {o["origin"]: decode(o["rle"], 64, 64) for o in origins}
    assert (np.sum(list(masks.values()), axis=0) == 1).all()
    assert masks["donor"].any()
    changed = (sample.image != host.image).any(axis=2)
    assert (changed & masks["host"]).sum() < 0.5 * masks["host"].sum()
