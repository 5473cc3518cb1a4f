"""Every stage of a recipe on a GPU. `python -m benchmarks.gpu [--device cuda] [--small]`

Runs a recipe of drawn portraits twice, once on the device and once on the processor, and prints for
each stage of the first run: images per second, peak memory of the device, and the share of the wall
time in which it computes. Ends with exit code 1 if results differ from the processor's by more than
training in reduced precision explains.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch

from benchmarks.clock import busy_seconds, clock
from benchmarks.direct import stage_calls
from heml.compute.device import choose_device
from heml.compute.threads import processors
from heml.sources.layouts.portraits import PortraitsSource
from heml.storage.store import Store
from pipelines.recipe.model import LoadedRecipe, load_recipe

#: Room for training in bfloat16, by what is compared: means over nodes, or over arms and seeds.
TOLERANCES = {"precision at 1": 0.1, "bias score": 0.15, "effect": 0.15}

RECIPE = """\
name: gpu
source: {{kind: portraits, label: mouth, attributes: [hair_tone], count: {count}, size: {size}}}
segmentation: {{kind: annotated}}
taxonomy: portraits
metric: {{epochs: {epochs}, device: {device}, resolution: {{leaf: 24, branch: 32, root: 48}}}}
rebalance: {{budget: {budget}}}
effect: {{seeds: 1, steps: {steps}, device: {device}}}
"""
SMALL = {"count": 160, "size": 48, "epochs": 1, "budget": 0.1, "steps": 20}
FULL = {"count": 1000, "size": 128, "epochs": 6, "budget": 0.5, "steps": 300}


def recipe_on(device: str, folder: Path, small: bool) -> LoadedRecipe:
    path = folder / f"{device}.yaml"
    path.write_text(RECIPE.format(device=device, **(SMALL if small else FULL)))
    return load_recipe(path)


def run_stages(recipe: LoadedRecipe, store: Store, device: torch.device, measured: bool) -> None:
    """Runs all stages; where they are measured, one line for each."""
    source = recipe.source
    assert isinstance(source, PortraitsSource)
    count = source.count
    for name, call in stage_calls(recipe, store).items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with clock() as took:
            busy = busy_seconds(lambda call=call: call(lambda line: None), device)
        if not measured:
            continue
        cuda = device.type == "cuda"
        peak = f"{torch.cuda.max_memory_allocated(device) / 2**20:7.0f} MiB" if cuda else "      -"
        used = busy / took.wall / (1 if cuda else processors())
        print(
            f"{name:20} {took.wall:7.1f} s {count / took.wall:9.1f} images/s {peak} {used:6.1%}",
            flush=True,
        )


def results(recipe: LoadedRecipe, store: Store) -> dict[str, float]:
    """What is compared between devices."""
    reports = [store.summary(f"metric/{node}") for node in recipe.taxonomy.nodes]
    found = [r["precision_at_1"] for r in reports if "precision_at_1" in r]
    return {
        "precision at 1": float(pd.Series(found).mean()),
        "bias score": float(pd.read_parquet(store.bias_scores)["score"].mean()),
        "effect": float(pd.read_parquet(store.debias_effect)["average_accuracy"].mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--small", action="store_true", help="few small images, for a trial")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {}
        for which, own in (("device", device), ("reference", torch.device("cpu"))):
            recipe = recipe_on(own.type, folder, arguments.small)
            store = Store(folder / which)
            run_stages(recipe, store, own, measured=which == "device")
            found[which] = results(recipe, store)
    failed = False
    for key, tolerance in TOLERANCES.items():
        here, there = found["device"][key], found["reference"][key]
        bad = not abs(here - there) <= tolerance
        failed |= bad
        print(f"{key:20} {here:.3f} on {device.type}, {there:.3f} on cpu{': differs' * bad}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
