"""Four nights of a watched recipe: the source grows by 10% each time, and its bias with it.

`python -m benchmarks.night [--work DIR] [--out FILE.md]` draws portraits into a folder, starts
Dagster's daemon on a recipe that watches it, and adds portraits in which light hair always goes
with smiling. Nothing else is started by hand: the sensor asks for each run. The table says what
each run segmented, embedded and trained, what the checks said, and what was shown of the bias.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.tables import table
from heml.sources.portraits import CLASSES, draw, plan_attributes

RECIPE = """\
name: nightly
source: {{kind: folder, root: faces, label: mouth, attributes: [hair_tone]}}
taxonomy:
  leaves: {{hair: [hair], mouth: [mouth], skin: [skin]}}
  tree: {{head: [hair, mouth, skin]}}
  ignored: [background, hat, eyes, brows, nose, neck, clothes]
metric: {{epochs: 4, resolution: {{leaf: 16, branch: 24, root: 24}}}}
bias: {{resamples: 200, permutations: 200}}
rebalance: {{budget: 0.2}}
effect: {{seeds: 1, steps: 30, size: 32}}
watch: {{every: 10}}
budget: {{score: {{warn: {warn}, error: {error}}}}}
"""
LABEL, ATTRIBUTE = "mouth", "hair_tone"
#: Portraits at first, share of them in the test split, and how far hair goes with smiling in train.
FIRST, TEST, ASSOCIATION = 400, 0.3, 0.6
SIZE, NIGHTS = 48, 3
#: Longest that one run may take.
PATIENCE_S = 900


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.night", description=__doc__)
    parser.add_argument("--warn", type=float, default=0.7, help="above the first score")
    parser.add_argument("--error", type=float, default=0.85)
    parser.add_argument("--work", type=Path, default=Path("night"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    work = options.work.absolute()
    shutil.rmtree(work, ignore_errors=True)
    source = Source(work / "faces")
    source.add(round(FIRST * (1 - TEST)), "train", ASSOCIATION)
    source.add(round(FIRST * TEST), "test", 0.5)
    recipe = work / "nightly.yaml"
    recipe.write_text(RECIPE.format(warn=options.warn, error=options.error))
    rows = []
    with daemon(work, recipe) as instance:
        for night in range(NIGHTS + 1):
            if night:
                source.add(round(0.1 * len(source.rows)), "train", 1.0)
            rows.append([night, len(source.rows), *_facts(_next_run(instance, night), instance)])
            print(rows[-1], flush=True)
    header = ["night", "images", "run", "segmented", "kept", "embedded", "trained", "drift"]
    header += ["score hair", "score mouth", "bias_budget", "bias_against_previous", "dataset"]
    text = table(header, rows)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


class Source:
    """A folder dataset of portraits that grows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, str]] = []
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        classes = {str(number): name for number, name in enumerate(CLASSES)}
        (folder / "classes.json").write_text(json.dumps(classes))

    def add(self, count: int, split: str, association: float) -> None:
        """Draws portraits; the table that names them is replaced last, at once."""
        first = len(self.rows)
        for number, attributes in enumerate(
            plan_attributes(count, LABEL, ATTRIBUTE, association, seed=first), start=first
        ):
            portrait = draw(attributes, seed=number, size=SIZE)
            names = {"file_name": f"images/{number}.png", "mask_name": f"masks/{number}.png"}
            Image.fromarray(portrait.image).save(self.folder / names["file_name"])
            Image.fromarray(portrait.mask).save(self.folder / names["mask_name"])
            values = {name: portrait.attributes[name] for name in (LABEL, ATTRIBUTE)}
            self.rows.append({**names, "split": split, **values})
        aside = self.folder / "metadata.csv.tmp"
        with aside.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(aside, self.folder / "metadata.csv")


@contextmanager
def daemon(work: Path, recipe: Path) -> Iterator[Any]:
    """Dagster's daemon, as `make ui` has it, and the instance that it writes to."""
    os.environ |= {
        "DAGSTER_HOME": str(work / "home"),
        "HEML_STORE": str(work / "store"),
        "HEML_RECIPE_FILES": str(recipe),
    }
    import dagster as dg

    from pipelines.runtime.home import ensure_home

    ensure_home()
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run"]
    command += ["-m", "pipelines.definitions", "-d", str(Path.cwd())]
    with (work / "daemon.log").open("w") as log, dg.DagsterInstance.get() as instance:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - fixed words
        try:
            yield instance
        finally:
            process.terminate()
            process.wait(30)


def _next_run(instance: Any, number: int) -> Any:
    """Waits for the run with this number, from 0, to end."""
    import dagster as dg

    over = time.monotonic() + PATIENCE_S
    while time.monotonic() < over:
        runs = instance.get_runs(dg.RunsFilter(tags={"heml/recipe": "nightly"}))[::-1]
        if len(runs) > number and runs[number].is_finished:
            return runs[number]
        time.sleep(1)
    raise TimeoutError(f"run {number} did not end in {PATIENCE_S} s")


def _facts(run: Any, instance: Any) -> list[str]:
    import dagster as dg

    def events(kind: Any) -> list[Any]:
        records = instance.get_records_for_run(run.run_id, of_type=kind).records
        return [record.event_log_entry.dagster_event for record in records]

    made = {}
    for event in events(dg.DagsterEventType.ASSET_MATERIALIZATION):
        materialization = event.step_materialization_data.materialization
        made["/".join(materialization.asset_key.path[1:])] = {
            name: value.value for name, value in materialization.metadata.items()
        }
    checks = {
        event.asset_check_evaluation_data.check_name: event.asset_check_evaluation_data
        for event in events(dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    }
    nodes = {name: own for name, own in made.items() if name.startswith("metric/")}
    embedded = {own.get("new_images") for own in nodes.values()} - {None}
    drifts = [own["drift"] for own in nodes.values() if own.get("drift") is not None]
    return [
        run.status.value.lower(),
        str(made["segments"]["segmented"]),
        str(made["segments"]["kept"]),
        "/".join(map(str, sorted(embedded))) or "all",
        str(sum("new_images" not in own for own in nodes.values())),
        f"{max(drifts):.2f}" if drifts else "",
        f"{made['bias_scores']['score hair × hair_tone']:.2f}",
        f"{made['bias_scores']['score mouth × hair_tone']:.2f}",
        _word(checks["bias_budget"]),
        _word(checks["bias_against_previous"]),
        "written" if "rebalanced_dataset" in made else "not written",
    ]


def _word(check: Any) -> str:
    return "passed" if check.passed else {"ERROR": "FAILED", "WARN": "warned"}[check.severity.value]


if __name__ == "__main__":
    main()
