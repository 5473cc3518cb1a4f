"""The run command: what cannot be run is refused in one line, without a traceback."""

import dagster as dg
import pytest

from heml.sources.raw import SourceError
from pipelines.cli.app import main
from pipelines.cli.execution import exit_code
from pipelines.cli.run_progress import cause, stage_of


class Error:
    """What Dagster keeps of an exception."""

    def __init__(self, cls_name, message, cause=None):
        self.cls_name, self.message, self.cause = cls_name, message, cause


def test_mistake_in_the_recipe(tmp_path, capsys):
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("name: faces\nsource: {kind: portraits}\nrebalance: {budgt: 1}\n")
    assert main(["run", str(recipe)]) == 2
    assert capsys.readouterr().err == (
        f"error: {recipe}, line 3: rebalance.budgt: unknown key; did you mean 'budget'?\n"
    )


def test_absent_data(tmp_path, capsys):
    recipe = tmp_path / "faces.yaml"
    recipe.write_text(
        "name: faces\n"
        "source: {kind: folder, root: none, label: mouth, attributes: [tone]}\n"
        "taxonomy: celebamask_hq\n"
    )
    assert main(["run", str(recipe)]) == 2
    assert capsys.readouterr().err == (
        f"error: {recipe}: source.root: no such folder: {tmp_path / 'none'}\n"
    )


def test_stage_to_force_that_is_none(tmp_path, capsys):
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("name: faces\nsource: {kind: portraits, label: mouth}\n")
    assert main(["run", str(recipe), "--force", "metric/hiar"]) == 2
    assert capsys.readouterr().err == (
        "error: force: 'metric/hiar' is no stage; did you mean 'metric/hair'?\n"
    )


def test_help_names_the_environment(capsys):
    assert main(["run", "--help"]) == 0
    assert "HEML_STORE" in capsys.readouterr().out


def test_cause_of_a_failure_is_one_line():
    ours = Error("SourceError", "heml.sources.raw.SourceError: no column 'mouht'\n")
    wrapped = Error("DagsterExecutionStepExecutionError", "…", ours)
    assert cause(wrapped) == ("SourceError", "no column 'mouht'")
    assert cause(Error("KeyError", "KeyError: 'x'\n"))[1] == "KeyError: 'x'"
    assert cause(Error("MemoryError", "MemoryError\n"))[1] == "MemoryError"
    assert "its process died" in cause(Error("ChildProcessCrashException", "…"))[1]
    assert cause(None)[1] == "unknown cause"


@pytest.mark.parametrize(
    ("error", "code"), [(SourceError("no column 'mouht'"), 2), (ValueError("a bug"), 1), (None, 0)]
)
def test_exit_codes_are_those_of_the_run_not_of_who_watched_it(error, code):
    @dg.op
    def stage():
        if error is not None:
            raise error

    job = dg.GraphDefinition(name="run", node_defs=[stage]).to_job()
    assert exit_code(job.execute_in_process(raise_on_error=False)) == code


def test_steps_are_named_as_stages():
    assert stage_of("demo__metric_level_0") == "metric level 0"
    assert stage_of("demo__bias_scores") == "bias_scores"
