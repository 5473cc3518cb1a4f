"""A segmenter of one file: recipes know its settings, the stage applies it, gates ask it again."""

import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from toy_registration import HOWS, toy_part

from heml.compute.progress import silent
from heml.recombination.judging.resegment import find_segmenter
from heml.segmentation.segmenter import SEGMENTERS
from heml.segmentation.segments_stage import segment
from heml.sources.ingest import ingest
from heml.storage.run_context import RunContext
from pipelines.recipe.model import Recipe, RecipeError, load_recipe

TOY = '''
"""Pixels brighter than a limit are the shape, all others background."""

from functools import partial
from typing import Literal

from pydantic import Field

from heml.segmentation.prediction import Prediction
from heml.segmentation.segmenter import PredictorSegmenter
from heml.segmentation.segmenter_settings import PredictorSettings


class BrightSettings(PredictorSettings):
    kind: Literal["toy"]
    limit: int = Field(128, ge=0, le=255, description="Least mean of the colors.")


class Bright:
    name, licence, leaves, accelerated = "bright-1", "CC0-1.0", ["background", "shape"], False

    def __init__(self, limit):
        self.limit = limit

    def predict(self, images):
        found = [(i.mean(axis=2) > self.limit).astype("uint8") for i in images]
        return [Prediction(ids, {0: 0.9, 1: 0.8}) for ids in found]


class Toy(PredictorSegmenter):
    name = "toy"
    rank = 9
    description = "bright pixels"
    settings = BrightSettings
    exclusive = False

    def prepare(self, settings, context):
        return partial(Bright, settings.limit), {"limit_used": settings.limit}

    def finished(self, settings, store, taxonomy, base):
        return Bright(settings.limit)


PART = Toy()
'''

RECIPE = """
name: bright
source: {kind: folder, root: data, label: label, attributes: [tone]}
segmentation: {kind: toy, limit: 120}
taxonomy:
  leaves: {background: [background], shape: [shape]}
  tree: {image: [background, shape]}
  ignored: [void]
"""


@pytest.mark.parametrize("how", HOWS)
def test_a_toy_segmenter_is_a_recipe_key_and_a_stage(
    dataset, store, taxonomy, how, tmp_path, monkeypatch
):
    dataset.good(8)
    dataset.write()
    path = tmp_path / "bright.yaml"
    path.write_text(RECIPE)
    with toy_part(SEGMENTERS, "toy", TOY, how, tmp_path, monkeypatch):
        recipe = load_recipe(path)
        settings = recipe.settings.segmentation
        assert (settings.kind, settings.limit) == ("toy", 120)
        assert recipe.settings.model_dump()["segmentation"]["limit"] == 120
        assert not recipe.segmenter.needs_masks
        assert recipe.taxonomy.leaves == {"background": ("background",), "shape": ("shape",)}
        assert "limit" in str(Recipe.model_json_schema())
        ingest(store, dataset.settings(), dataset.root, taxonomy, False, silent)
        outcome = segment(RunContext(store, recipe.source_taxonomy), settings, base=tmp_path)
        assert outcome.summary["segmenter"] == "bright-1"
        assert outcome.summary["limit_used"] == 120
        rows = pq.read_table(store.segments).to_pylist()
        assert {row["segmenter_licence"] for row in rows} == {"CC0-1.0"}
        bright = sum(int((dataset_pixels(n).mean(axis=2) > 120).sum()) for n in range(8))
        assert sum(r["area"] for r in rows if r["class_name"] == "shape") == bright
        resegment = find_segmenter(store, settings, recipe.source_taxonomy, tmp_path)
        assert resegment([dataset_pixels(0)])[0]["shape"].sum() > 0
        path.write_text(RECIPE.replace("limit", "limt"))
        with pytest.raises(RecipeError, match=r"segmentation\.limt: .*did you mean 'limit'"):
            load_recipe(path)
    path.write_text(RECIPE)
    with pytest.raises(RecipeError, match=r"segmentation\.kind: unknown kind 'toy'"):
        load_recipe(path)


def dataset_pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (16, 24, 3), np.uint8)


def test_segmenters_and_their_settings_are_known_without_torch():
    program = (
        "import sys; from heml.segmentation.segmentation_settings import SEGMENTERS; "
        "print([p.settings for p in SEGMENTERS] and 'torch' in sys.modules, SEGMENTERS.names())"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    names = ("annotated", "pretrained", "prompted", "trained", "unsupervised")
    assert said.stdout == f"False {names}\n", said.stderr
