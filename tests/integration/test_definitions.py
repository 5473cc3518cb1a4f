"""The code location: assets follow the recipe's tree, checks block, absent data is left out."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import pipelines.definitions
from heml.taxonomy import builtin
from pipelines.build import build_defs
from pipelines.jobs import stages_up_to
from pipelines.recipe.model import RecipeError

RECIPES = Path(pipelines.definitions.__file__).parent / "recipes"
DEMO = RECIPES / "demo.yaml"
FOLDER = """\
name: streets
source: {kind: folder, root: absent, label: lower_body, attributes: [background]}
taxonomy: ccp
"""
STAGES = {
    "images",
    "quarantine",
    "segments",
    "metric_tree",
    "bias_scores",
    "rebalance_plan",
    "recombined_samples",
    "rebalanced_dataset",
    "debias_effect",
    "dataset_card",
    "report",
}


def graph_of(tmp_path, *files, **folder):
    defs = build_defs(recipe_files=files or None, store_root=tmp_path / "store", **folder)
    dg.Definitions.validate_loadable(defs)
    return defs.resolve_asset_graph()


def keys(graph):
    return {"/".join(key.path) for key in graph.get_all_asset_keys()}


def parents(graph, key):
    return {"/".join(parent.path) for parent in graph.get(dg.AssetKey(key.split("/"))).parent_keys}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return graph_of(tmp_path_factory.mktemp("demo"), DEMO)


def test_every_stage_and_node_is_an_asset(demo):
    nodes = {f"metric/{node}" for node in builtin("portraits").nodes}
    assert keys(demo) == {f"demo/{name}" for name in STAGES | nodes}


def test_everything_in_the_ui_says_what_it_is(tmp_path):
    path = tmp_path / "faces.yaml"
    path.write_text(
        "name: faces\nsource: {kind: portraits, label: mouth, attributes: [hair_tone]}\n"
        "schedule: '0 3 * * *'\nwatch: true\nalerts: {to: ['json://localhost']}\n"
    )
    defs = build_defs(recipe_files=[path], store_root=tmp_path / "store")
    repository = defs.get_repository_def()
    specs = {"/".join(spec.key.path): spec.description for spec in defs.resolve_all_asset_specs()}
    parts = [*repository.get_all_jobs(), *repository.sensor_defs, *repository.schedule_defs]
    parts = [part for part in parts if not part.name.startswith("__")]
    assert {"faces", "faces_revoke", "faces_source", "faces_schedule"} <= {p.name for p in parts}
    checks = {
        spec.key.to_user_string(): spec.description
        for definition in defs.asset_checks or ()
        for spec in definition.check_specs
    }
    assert checks
    described = specs | {part.name: part.description for part in parts} | checks
    assert not [name for name, description in described.items() if not description]
    # What a run can be given in the launchpad.
    op = repository.get_job("faces_revoke").get_node_named("faces__rebalanced_dataset").definition
    fields = op.config_schema.config_type.fields
    assert "input images to revoke" in fields["revoke"].description
    resource = repository.get_job("faces").resource_defs["heml_store"]
    assert "s3://bucket/prefix" in resource.config_schema.config_type.fields["root"].description


def test_lineage_of_metrics_is_the_tree(demo):
    tree = builtin("portraits")
    for node in tree.nodes:
        children = {f"demo/metric/{child}" for child in tree.children(node)}
        assert parents(demo, f"demo/metric/{node}") == {"demo/segments"} | children


def test_dry_run_needs_what_the_plan_rests_on_and_no_more(tmp_path):
    defs = build_defs(recipe_files=[DEMO], store_root=tmp_path / "store")
    chosen = {"/".join(key.path) for key in stages_up_to(defs, "demo", "rebalance_plan")}
    nodes = {f"metric/{node}" for node in builtin("portraits").nodes}
    stages = {"images", "quarantine", "segments", "metric_tree", "bias_scores", "rebalance_plan"}
    assert chosen == {f"demo/{name}" for name in stages | nodes}


def test_lineage_from_images_to_report(demo):
    assert parents(demo, "demo/segments") == {"demo/images"}
    assert "demo/metric_tree" in parents(demo, "demo/bias_scores")
    assert "demo/bias_scores" in parents(demo, "demo/rebalance_plan")
    assert "demo/rebalance_plan" in parents(demo, "demo/recombined_samples")
    assert "demo/recombined_samples" in parents(demo, "demo/rebalanced_dataset")
    assert parents(demo, "demo/debias_effect") == {"demo/rebalanced_dataset"}
    assert "demo/debias_effect" in parents(demo, "demo/report")


def test_every_table_has_a_blocking_contract_check(demo):
    checked = {
        "/".join(key.asset_key.path[1:]) for key in demo.asset_check_keys if key.name == "contract"
    }
    assert checked == {k.removeprefix("demo/") for k in keys(demo)} - {
        "metric_tree",
        "dataset_card",
        "report",
    }
    assert all(demo.get(key).blocking for key in demo.asset_check_keys)


def test_dataset_is_checked_for_attribute_auc_and_images_for_their_count(demo):
    names = {(key.asset_key.path[-1], key.name) for key in demo.asset_check_keys}
    assert ("rebalanced_dataset", "no_test_leakage") in names
    assert ("rebalanced_dataset", "nothing_revoked") in names
    assert ("rebalanced_dataset", "edit_detectability") in names
    assert ("debias_effect", "effect_not_worse") in names
    assert ("dataset_card", "dataset_is_whole") in names
    assert ("images", "every_input_accounted_for") in names


def test_level_is_one_op_that_can_train_some_of_its_nodes(tmp_path):
    defs = build_defs(recipe_files=[DEMO], store_root=tmp_path)
    levels = [a for a in defs.assets or [] if "metric_level" in a.op.name]
    assert [a.op.name for a in levels] == [f"demo__metric_level_{n}" for n in range(5)]
    assert all(level.can_subset for level in levels)
    assert all(level.op.tags["gpu"] == "exclusive" for level in levels)
    leaves = {key.path[-1] for key in levels[0].keys}
    assert leaves == set(builtin("portraits").leaves)


def test_job_of_a_selection_holds_only_that_node(tmp_path):
    defs = build_defs(recipe_files=[DEMO], store_root=tmp_path)
    job = dg.define_asset_job("mouth", selection=["demo/metric/mouth"])
    resolved = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("mouth")
    assert {key.path[-1] for key in resolved.asset_layer.selected_asset_keys} == {"mouth"}


def test_assets_show_their_columns_before_a_run(demo):
    metadata = demo.get(dg.AssetKey(["demo", "bias_scores"])).metadata
    names = [column.name for column in metadata["dagster/column_schema"].schema.columns]
    assert {"node", "attribute", "score"} <= set(names)


def test_recipes_of_a_folder_are_attributes_of_their_own(tmp_path):
    (tmp_path / "one.yaml").write_text("name: one\nsource: {kind: portraits}\n")
    (tmp_path / "two.yaml").write_text(
        "name: two\nsource: {kind: portraits}\neffect: {enabled: false}\nschedule: '0 3 * * 1'\n"
    )
    defs = build_defs(recipes_folder=tmp_path, store_root=tmp_path / "store")
    graph = defs.resolve_asset_graph()
    attributes = {graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert attributes == {"one", "two"}
    assert "one/debias_effect" in keys(graph)
    assert "two/debias_effect" not in keys(graph)
    assert "two/report" in keys(graph)
    repository = defs.get_repository_def()
    assert {"one", "two"} <= set(repository.job_names)
    schedule = repository.get_schedule_def("two_schedule")
    assert (schedule.cron_schedule, schedule.job_name) == ("0 3 * * 1", "two")


def test_a_recipe_whose_data_is_absent_is_defined_all_the_same(tmp_path):
    (tmp_path / "one.yaml").write_text("name: one\nsource: {kind: portraits}\n")
    (tmp_path / "streets.yaml").write_text(FOLDER + "schedule: '0 3 * * 1'\n")
    defs = build_defs(recipes_folder=tmp_path, store_root=tmp_path / "store")
    graph = defs.resolve_asset_graph()
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {"one", "streets"}
    assert defs.get_repository_def().get_schedule_def("streets_schedule")
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("streets").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(["streets", "images"])],
            raise_on_error=False,
        )
        (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert not result.success
    assert "absent" in str(failure.step_failure_data.error)


def test_an_invalid_recipe_is_shown_and_spoils_no_other(tmp_path):
    (tmp_path / "one.yaml").write_text("name: one\nsource: {kind: portraits}\n")
    (tmp_path / "same.yaml").write_text("name: one\nsource: {kind: portraits}\n")
    (tmp_path / "wrong.yaml").write_text("name: wrong\nsource: {kind: portrait}\n")
    defs = build_defs(recipes_folder=tmp_path, store_root=tmp_path / "store")
    graph = defs.resolve_asset_graph()
    assert "one/images" in keys(graph)
    wrong = dg.AssetKey(["invalid_recipes", "wrong_yaml"])
    assert "did you mean 'portraits'" in graph.get(wrong).description
    assert "invalid_recipes/same_yaml" in keys(graph)
    job = dg.define_asset_job("look", selection=[wrong])
    resolved = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("look")
    with dg.DagsterInstance.ephemeral() as instance:
        result = resolved.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success


def test_edited_recipes_change_the_code_version_of_what_reads_the_edit(tmp_path):
    def versions(extra):
        path = tmp_path / "one.yaml"
        path.write_text("name: one\nsource: {kind: portraits}\n" + extra)
        graph = graph_of(tmp_path, path)
        return {key.path[-1]: graph.get(key).code_version for key in graph.get_all_asset_keys()}

    before = versions("")
    assert all(before.values())
    changed = versions("effect: {seeds: 2}\n")
    assert {n for n in before if before[n] != changed[n]} == {
        "debias_effect",
        "dataset_card",
        "report",
    }
    assert versions("metric: {device: cpu}\n") == before, "where it runs changes no result"


def test_one_asset_can_be_materialized_alone_with_owner_pool_and_row_count(tmp_path):
    path = tmp_path / "one.yaml"
    path.write_text(
        "name: one\nsource: {kind: portraits, count: 40, size: 32}\n"
        "owners: ['team:vision', ada@example.com]\n"
        "schedule: {cron: '0 3 * * 1', timezone: Asia/Tokyo}\n"
    )
    defs = build_defs(recipe_files=[path], store_root=tmp_path / "store")
    images = dg.AssetKey(["one", "images"])
    spec = defs.resolve_asset_graph().get(images)
    assert spec.owners == ["team:vision", "ada@example.com"]
    pools = {a.op.name: a.op.pool for a in defs.assets or []}
    assert pools["one__metric_level_0"] == "heml_accelerator"
    schedule = defs.get_repository_def().get_schedule_def("one_schedule")
    assert schedule.execution_timezone == "Asia/Tokyo"
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("one").execute_in_process(
            instance=instance, asset_selection=[images]
        )
    (made,) = result.get_asset_materialization_events()
    assert made.asset_key == images
    metadata = made.step_materialization_data.materialization.metadata
    assert metadata["dagster/row_count"].value == 40


def test_recipe_that_was_asked_for_is_there_even_without_its_data(tmp_path):
    (tmp_path / "streets.yaml").write_text(FOLDER)
    assert "streets/images" in keys(graph_of(tmp_path, tmp_path / "streets.yaml"))


def test_two_files_of_one_name_are_refused(tmp_path):
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text("name: same\nsource: {kind: portraits}\n")
    with pytest.raises(RecipeError, match="'same' is already the name of"):
        build_defs(recipe_files=[tmp_path / "one.yaml", tmp_path / "two.yaml"])


def test_jobs_stop_at_the_scores_and_go_on_from_them(tmp_path):
    defs = build_defs(recipe_files=[DEMO], store_root=tmp_path)
    bias, rebalance = (
        {
            "/".join(key.path[1:])
            for key in defs.resolve_job_def(name).asset_layer.selected_asset_keys
        }
        for name in ("demo_bias_only", "demo_rebalance")
    )
    nodes = {f"metric/{node}" for node in builtin("portraits").nodes}
    assert bias == {"images", "quarantine", "segments", "metric_tree", "bias_scores"} | nodes
    assert rebalance == (STAGES | nodes) - bias


def test_definitions_load_without_what_computes(tmp_path):
    """Every step and every look of the UI loads them."""
    program = "import sys, pipelines.definitions; print({'torch', 'kornia'} & {*sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(RECIPES.parents[1])}
    environment |= {"HEML_RECIPE_FILES": str(DEMO), "HEML_STORE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "set()\n", done.stderr
