"""Watching a source: a run for every change, none for the same content, and reasons otherwise."""

import json

import dagster as dg
import pytest

from heml.sources.files import LocalFiles
from pipelines.build import build_defs
from pipelines.recipe.model import RecipeError, load_recipe

RECIPE = """\
name: faces
source: {{kind: folder, root: {root}, label: label, attributes: [tone]}}
taxonomy:
  leaves: {{background: [background], shape: [shape]}}
  tree: {{image: [background, shape]}}
  ignored: [void]
watch: {watch}
"""


@pytest.fixture
def recipe(dataset, tmp_path):
    dataset.good(16)
    dataset.write()

    def write(watch="true"):
        path = tmp_path / "faces.yaml"
        path.write_text(RECIPE.format(root=dataset.root, watch=watch))
        return path

    return write


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Ticks:
    """A sensor looked at again and again, as the daemon does."""

    def __init__(self, path, store, instance):
        self.defs = build_defs(recipe_files=[path], store_root=store)
        self.sensor = self.defs.get_repository_def().get_sensor_def("faces_source")
        self.instance, self.cursor = instance, None

    def __call__(self):
        """Run keys that were asked for, or the reason for none."""
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            found = self.sensor(context)
        if isinstance(found, dg.SkipReason):
            return found.skip_message
        self.cursor = found.cursor
        return [request.run_key for request in found.run_requests]


@pytest.fixture
def tick(recipe, tmp_path, instance):
    return Ticks(recipe(), tmp_path / "store", instance)


def test_source_is_run_once_for_each_content(tick, dataset):
    (first,) = tick()
    assert tick() == "the source is unchanged"
    dataset.row()
    dataset.write()
    (second,) = tick()
    assert second != first
    assert tick() == "the source is unchanged"


def test_picture_that_changes_in_place_is_noticed(tick, dataset):
    tick()
    dataset.put("images/0003.png", b"another content")
    assert len(tick()) == 1


def test_pictures_of_large_sources_are_not_asked_in_every_tick(tick, dataset, monkeypatch):
    monkeypatch.setattr("pipelines.sensors.CHEAP", 0.0)
    monkeypatch.setattr("pipelines.sensors.SHARE", 1e-6)
    tick()
    asked = []
    stamp = LocalFiles.stamp
    monkeypatch.setattr(
        LocalFiles, "stamp", lambda files, name: asked.append(name) or stamp(files, name)
    )
    dataset.put("images/0003.png", b"another content")
    assert tick().startswith("tables and folders are unchanged; all pictures are asked in ")
    assert not [name for name in asked if name.endswith(".png")]
    # A table that changed is a reason to ask them now.
    dataset.row()
    dataset.write()
    assert len(tick()) == 1
    assert "images/0003.png" in asked
    # So is the time that has passed.
    cursor = json.loads(tick.cursor)
    tick.cursor = json.dumps({**cursor, "next_look": 0.0})
    dataset.put("images/0003.png", b"one more")
    assert len(tick()) == 1


def test_source_that_comes_back_to_an_earlier_state_runs_again(tick, dataset):
    (first,) = tick()
    before = (dataset.root / "metadata.csv").read_bytes()
    dataset.row()
    dataset.write()
    tick()
    dataset.put("metadata.csv", before)
    (third,) = tick()
    assert third.partition("-")[0] == first.partition("-")[0]
    assert third != first


def test_time_alone_starts_nothing(tick, dataset):
    tick()
    (dataset.root / "metadata.csv").touch()
    assert tick() == "the source is unchanged"


def test_unreadable_source_is_a_reason_and_is_looked_at_again(tick, dataset):
    tick()
    hidden = dataset.root.rename(dataset.root.with_name("elsewhere"))
    assert tick().startswith("the source cannot be read: ")
    hidden.rename(dataset.root)
    assert tick() == "the source is unchanged"


def test_no_second_run_while_one_goes_on(tick, dataset, instance):
    tick()
    run = instance.create_run_for_job(
        dg.job(name="any")(lambda: None),
        tags={"heml/recipe": "faces"},
        status=dg.DagsterRunStatus.STARTED,
    )
    dataset.row()
    dataset.write()
    assert "waiting for run" in tick()
    instance.report_run_failed(run)
    assert len(tick()) == 1


def test_runs_of_single_assets_are_waited_for_too(tick, dataset, instance):
    tick()
    instance.create_run_for_job(
        tick.defs.resolve_implicit_global_asset_job_def(),
        asset_selection=frozenset([dg.AssetKey(["faces", "segments"])]),
        status=dg.DagsterRunStatus.STARTED,
    )
    dataset.row()
    dataset.write()
    assert "waiting for run" in tick()


def test_a_run_of_all_assets_is_waited_for_too(tick, dataset, instance):
    tick()
    instance.create_run_for_job(
        tick.defs.resolve_implicit_global_asset_job_def(), status=dg.DagsterRunStatus.STARTED
    )
    dataset.row()
    dataset.write()
    assert "waiting for run" in tick()


def test_a_bug_is_an_error_not_a_reason(tick, monkeypatch):
    def broken(recipe, quick=False):
        raise TypeError("a bug")

    monkeypatch.setattr("pipelines.sensors.source_state", broken)
    with pytest.raises(Exception, match="a bug"):
        tick()


@pytest.mark.parametrize(("watch", "seconds"), [("true", 300), ("{every: 60}", 60)])
def test_recipe_says_how_often_to_look(recipe, tmp_path, instance, watch, seconds):
    sensor = Ticks(recipe(watch), tmp_path / "store", instance).sensor
    assert sensor.minimum_interval_seconds == seconds
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert sensor.job_name == "faces"


@pytest.mark.parametrize("watch", ["false", "null"])
def test_recipe_that_is_not_watched_has_no_sensor(recipe, tmp_path, watch):
    defs = build_defs(recipe_files=[recipe(watch)], store_root=tmp_path / "store")
    sensors = {sensor.name for sensor in defs.get_repository_def().sensor_defs}
    assert sensors == {"heml_dead_runs"}


@pytest.mark.parametrize(
    ("watch", "message"),
    [("daily", "true, false or {every: seconds}"), ("{evry: 60}", "did you mean 'every'")],
)
def test_wrong_watch_is_refused_with_what_to_write(recipe, watch, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe(watch))


def test_watching_does_not_make_the_dataset_another(recipe):
    assert load_recipe(recipe("false")).fingerprint == load_recipe(recipe("true")).fingerprint
