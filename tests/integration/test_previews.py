"""Preview images of assets in Dagster's event log."""

import dagster as dg
import pytest

from pipelines.assets import preview_images
from pipelines.build import build_defs

RECIPE = """
name: small
source: {kind: portraits, count: 40, size: 32}
taxonomy: portraits
"""
KEY = dg.AssetKey(["small", "images"])


@pytest.fixture
def materialize(tmp_path):
    recipe = tmp_path / "small.yaml"
    with dg.DagsterInstance.ephemeral() as instance:

        def run(count=40):
            recipe.write_text(RECIPE.replace("count: 40", f"count: {count}"))
            job = build_defs(recipe_files=[recipe], store_root=tmp_path).resolve_job_def("small")
            assert job.execute_in_process(instance=instance, asset_selection=[KEY]).success
            event = instance.get_latest_materialization_event(KEY)
            metadata = event.asset_materialization.metadata
            return metadata["reused"].value, metadata["picture"].value

        yield run


def test_a_result_that_is_kept_shows_the_image_that_was_drawn(materialize, monkeypatch):
    reused, drawn = materialize()
    assert not reused
    monkeypatch.setitem(preview_images.PICTURES, "images", None)
    assert materialize() == (True, drawn)


def test_another_result_gets_another_image(materialize):
    drawn = materialize()[1]
    reused, other = materialize(60)
    assert not reused
    assert other != drawn
