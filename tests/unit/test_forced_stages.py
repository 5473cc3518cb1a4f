"""What a run's tag forces, in runs that are executed again."""

import logging
from types import SimpleNamespace

import dagster as dg
import pytest

from heml.storage.forced import UnknownStage
from heml.storage.store import Store
from pipelines.recipe.model import load_recipe
from pipelines.runtime.forced_stages import drop_forced

SEGMENTS, HAIR = (dg.AssetKey(["faces", *stage]) for stage in (["segments"], ["metric", "hair"]))


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "faces")
    for stage in ("segments", "metric/hair", "report"):
        store.finish(stage, "fingerprint", {}, [])
    return store


@pytest.fixture
def drop(tmp_path, store):
    """A step that makes some assets, in a run that made some or all of them."""
    path = tmp_path / "faces.yaml"
    path.write_text("name: faces\nsource: {kind: portraits, label: mouth}\n")
    recipe = load_recipe(path)
    runs = {}

    def run(run_id, *keys, parent=None, force="segments, metric/hair", resumed=True):
        tags = {"heml/force": force} | ({"dagster/is_resume_retry": "true"} if resumed else {})
        runs[run_id] = SimpleNamespace(
            run_id=run_id, parent_run_id=parent, tags=tags, asset_selection=None
        )
        layer = SimpleNamespace(selected_asset_keys={SEGMENTS, HAIR} if parent is None else {*keys})
        context = SimpleNamespace(
            run=runs[run_id],
            job_def=SimpleNamespace(asset_layer=layer),
            selected_asset_keys={*keys},
            instance=SimpleNamespace(get_run_by_id=runs.get),
            log=logging.getLogger("test"),
        )
        drop_forced(context, recipe, store)
        return sorted(store.stages())

    return run


def test_a_step_drops_its_own_forced_stages(drop):
    assert drop("one", HAIR) == ["report", "segments"]
    assert drop("one", SEGMENTS) == ["report"]


def test_a_run_that_resumes_keeps_what_was_made_and_forces_the_rest(drop, store):
    drop("one", SEGMENTS)
    store.finish("segments", "fingerprint", {}, [])
    # The second resumes the first, the third the second; only the last reaches the node.
    assert "segments" in drop("two", SEGMENTS, parent="one")
    assert drop("three", SEGMENTS, HAIR, parent="two") == ["report", "segments"]
    # A run that starts anew forces anew.
    assert drop("four", SEGMENTS, parent="one", resumed=False) == ["report"]


def test_a_stage_that_the_run_does_not_make_is_told(drop):
    with pytest.raises(UnknownStage, match="this run does not make 'report'"):
        drop("one", HAIR, force="report")
