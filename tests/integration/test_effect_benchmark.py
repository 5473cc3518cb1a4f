"""The benchmark of the effect on a small folder: tables, kept results, refused input."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from benchmarks.effect import main
from benchmarks.effect_pipeline import inside_root
from benchmarks.effect_tasks import Task, TaskError, read_task

COLUMNS = ["file_name", "mask_name", "split", "shape", "tone"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    counts = {"train": (6, 1), "test": (3, 3), "oracle": (3, 3)}
    for split, (aligned, conflicting) in counts.items():
        for shape, tone in (("round", "light"), ("round", "dark"), ("long", "light"), ("long", "")):
            for _ in range(aligned if (shape == "round") == (tone == "light") else conflicting):
                name = f"{len(rows):03d}.png"
                Image.fromarray(rng.integers(0, 255, (20, 24, 3), np.uint8)).save(tmp_path / name)
                Image.fromarray(rng.integers(0, 3, (20, 24), np.uint8)).save(tmp_path / f"m{name}")
                rows.append([name, f"m{name}", split, shape, tone])
    with (tmp_path / "task.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows, ["x.png", "x.png", "unused", "long", "dark"]])
    return tmp_path


def run(folder, *more):
    arguments = ["--root", folder, "--task", "task.csv", "--label", "shape", "--attribute", "tone"]
    shared = ["--taxonomy", "portraits", "--workers", 1, "--work", folder / "work", "--quick"]
    return main([str(a) for a in (*arguments, *shared, *more)])


def test_arms_are_compared_and_results_kept(folder, capsys):
    more = ["--steps", 3, "--seeds", 2, "--arms", "oracle,erm,random_paste"]
    assert run(folder, *more, "--out", folder / "out.md") == 0
    out, err = capsys.readouterr()
    assert "6/6" in err
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == [
        "| trained on", "| plain", "| random paste of segments", "| oracle (unbiased train set)"
    ]  # fmt: skip
    assert "no test images" not in out
    assert (folder / "out.md").read_text() == out
    assert run(folder, *more) == 0
    again = capsys.readouterr()
    assert again.out == out
    assert "6 of 6 results kept" in again.err


def test_groups_are_numbered_and_missing_attributes_left_out_of_the_test(folder):
    data = read_task(Task("task", folder / "task.csv", folder, "shape", "tone"), 16, folder / "c")
    assert data.labels == ["long", "round"]
    assert data.test_groups == 3
    assert len(data.test_names) == len(data.splits["test"]) == 9
    assert (data.splits["train"].groups == -1).sum() == 6
    assert set(data.splits["test"].groups) == {0, 1, 2}
    assert data.splits["train"].segments.min() == 1, "class 0 is a segment too"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("tone", "color"), "no column 'tone'; it has file_name"),
        (("test", "held_out"), "no row has split 'test'"),
        (("000.png", "nowhere.png"), "'nowhere.png' is not in"),
    ],
)
def test_a_task_that_cannot_be_used_is_refused(folder, capsys, change, message):
    table = folder / "task.csv"
    table.write_text(table.read_text().replace(*change))
    with pytest.raises(TaskError, match=message):
        read_task(Task("task", table, folder, "shape", "tone"), 16, folder / "c")
    assert run(folder, "--arms", "erm") == 2
    assert message in capsys.readouterr().err


def test_an_unknown_arm_is_refused(folder, capsys):
    with pytest.raises(SystemExit):
        run(folder, "--arms", "erm,magic")
    assert "no arm 'magic'" in capsys.readouterr().err


def test_a_table_outside_the_root_gets_a_root_of_its_own(folder, tmp_path_factory):
    """Recipes read no table outside their root."""
    work = tmp_path_factory.mktemp("work")
    inside = Task("task", folder / "task.csv", folder, "shape", "tone")
    assert inside_root(inside, work) == (folder, "task.csv")
    table = work / "elsewhere.csv"
    table.write_text(inside.table.read_text())
    root, name = inside_root(Task("elsewhere", table, folder, "shape", "tone"), work)
    assert (root / name).read_text() == table.read_text()
    assert (root / "000.png").read_bytes() == (folder / "000.png").read_bytes()
    assert len(list(root.glob("*.png"))) == 2 * len(inside.rows())
