"""What Dagster costs: the whole chain through it, and as plain calls of heml.

`python -m benchmarks.overhead [--recipe FILE.yaml] [--rounds 1] [--recipes 20] [--out FILE.md]`
runs a recipe, by default the portraits of 1,000 images, both ways in new stores, and loads the
definitions of many recipes in new processes. Seconds are only worth something on a machine that
does nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.direct import stage_calls
from benchmarks.tables import table
from heml.storage.store import Store
from pipelines.recipe.model import load_recipe

DEMO = Path(__file__).parents[1] / "pipelines" / "recipes" / "demo.yaml"
LOAD = "from pipelines.definitions import defs; defs.get_repository_def()"


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--recipe", type=Path, default=DEMO)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--recipes", type=int, default=20, help="whose definitions are loaded")
    parser.add_argument("--only-load", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        for call in stage_calls(load_recipe(options.recipe), Store(options.worker)).values():
            call(lambda line: None)
        return
    lines = [_loading(options.recipes)]
    if not options.only_load:
        lines.append(_chains(options.recipe, options.rounds))
    text = "\n\n".join(lines)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def _chains(recipe: Path, rounds: int) -> str:
    rows = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as work:
            direct = ["benchmarks.overhead", "--recipe", str(recipe), "--worker", f"{work}/direct"]
            plain = _seconds(direct, {})
            through = _seconds(
                ["pipelines.cli", "run", str(recipe)],
                {"HEML_STORE": f"{work}/store", "DAGSTER_HOME": f"{work}/home"},
            )
        for name, wall in (("heml", plain), ("Dagster", through)):
            rows.append([f"round {number + 1}, {name}", f"{wall:.0f}"])
        rows.append([f"round {number + 1}, Dagster over heml", f"{through / plain:.3f}"])
    return table(["way", "wall s"], rows)


def _loading(count: int) -> str:
    times = []
    with tempfile.TemporaryDirectory() as folder:
        text = DEMO.read_text()
        for number in range(count):
            named = text.replace("name: demo ", f"name: demo{number:02d} ")
            assert named != text
            Path(folder, f"{number}.yaml").write_text(named)
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run(  # noqa: S603 - this interpreter
                [sys.executable, "-c", LOAD],
                check=True,
                env=os.environ | {"HEML_RECIPES": folder, "HEML_STORE": folder},
            )
            times.append(time.perf_counter() - start)
    return table(
        [f"definitions of {count} recipes in a new process", "s"],
        [["least of 3", f"{min(times):.2f}"], ["most", f"{max(times):.2f}"]],
    )


def _seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """Wall seconds of a module run as a program."""
    start = time.perf_counter()
    subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-m", *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
