"""Progress in the terminal: live bars where a person watches, lines elsewhere, errors survived."""

import io
import os
import time

import pytest

from heml.storage.atomic_write import write_aside
from heml.storage.store import Store
from pipelines.cli.app import main
from pipelines.cli.displays import LiveDisplay, PlainLines, display_on
from pipelines.cli.run_progress import Watcher
from pipelines.cli.tables import text_table


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_a_pipe_gets_lines_and_a_terminal_a_live_display(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with display_on(io.StringIO(), "demo", 3) as display:
        assert isinstance(display, PlainLines)
    with display_on(Terminal(), "demo", 3, plain=True) as display:
        assert isinstance(display, PlainLines)
    terminal = Terminal()
    with display_on(terminal, "demo", 3) as display:
        assert isinstance(display, LiveDisplay)
        display.started(1, "images")
        display.progress(2, "images", "images: 40/100 read")
        display.materialized("images")
        display.line(3, "metric/hair: precision at 1 0.96 [0.9, 1.0]")
        deadline = time.monotonic() + 5
        while "40/100" not in terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
        display.finished("images")
    shown = terminal.getvalue()
    assert "40/100" in shown
    assert "1/3" in shown
    assert "[   3s] metric/hair: precision at 1 0.96 [0.9, 1.0]" in shown


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("CI", "true")])
def test_terminals_that_cannot_redraw_get_lines(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with display_on(Terminal(), "demo", 3) as display:
        assert isinstance(display, PlainLines)


def test_lines_go_on_when_nobody_reads_any_more():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        display = PlainLines(gone)
        for _ in range(3):
            display.line(1, "still running")


def test_an_error_while_following_ends_neither_run_nor_watcher(caplog):
    class Instance:
        def get_run_records(self, *_, **__):
            raise RuntimeError("database is locked")

    watcher = Watcher(Instance(), ("heml/invocation", "1"), PlainLines(io.StringIO()))
    watcher.start()
    watcher.finish()
    assert "cannot follow the run" in caplog.text


def test_numbers_are_aligned_to_the_right_and_words_to_the_left():
    lines = list(text_table(["node", "score", "state"], [["hair", "1.00", "ok"], ["a", "–", "no"]]))
    assert lines == ["  node   score   state", "  hair    1.00   ok", "  a          –   no"]


def test_version_and_unknown_commands(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("heml ")
    assert main(["bogus"]) == 2
    assert "No such command" in capsys.readouterr().err


def test_status_and_report_of_a_recipe_that_never_ran(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("name: faces\nsource: {kind: portraits}\n")
    assert main(["status", str(recipe)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("not run") > 15
    assert "No run is recorded" in shown
    assert main(["verify", str(recipe)]) == 0
    assert "0 finished stages, 0 damaged" in capsys.readouterr().out
    assert main(["report", str(recipe)]) == 2
    assert "no report yet" in capsys.readouterr().err


def test_verify_names_what_is_damaged_and_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HEML_STORE", str(tmp_path / "store"))
    recipe = tmp_path / "faces.yaml"
    recipe.write_text("name: faces\nsource: {kind: portraits}\n")
    store = Store(tmp_path / "store" / "faces")
    for stage, path in (("bias_scores", store.bias_scores), ("report", store.report)):
        with write_aside(path) as aside:
            aside.write_text("content")
        store.finish(stage, "a", {}, [path])
    assert main(["verify", str(recipe)]) == 0
    assert "2 finished stages, 0 damaged" in capsys.readouterr().out
    store.bias_scores.write_text("CONTENT")
    store.report.unlink()
    assert main(["verify", str(recipe)]) == 1
    shown = capsys.readouterr().out
    assert f"bias_scores: {store.bias_scores} is damaged" in shown
    assert f"report: {store.report} is missing" in shown
    assert f"heml run {recipe}" in shown
