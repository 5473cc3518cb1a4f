"""Is the segment that misleads found when a recipe names no attribute? `python -m
benchmarks.discovery`

For every set: the leaf that comes first and whether it is called misleading, the place of the leaf
that is known to carry the attribute, and the adjusted Rand index of its discovered groups with the
attribute. `--portraits` and `--clean` draw sets with and without a planted bias.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from sklearn.metrics import adjusted_rand_score
from statsmodels.stats.proportion import proportion_confint

from benchmarks.discovery_sets import (
    PETS,
    DiscoverySet,
    clean_portraits,
    drawn_table,
    portraits,
    table,
    trained,
)
from benchmarks.effect_tasks import Task
from benchmarks.tables import table as markdown
from heml.bias.bias_settings import BiasSettings
from heml.bias.group_discovery import discover_groups
from heml.compute.progress import silent
from heml.images.images_table import image_index
from heml.storage.run_context import RunContext
from heml.taxonomy import builtin


def measured(chosen: DiscoverySet, work: Path) -> dict[str, object]:
    """One set's row."""
    store = trained(chosen, work, silent)
    start = time.process_time()
    discover_groups(RunContext(store, chosen.taxonomy), chosen.settings, BiasSettings())
    seconds = time.process_time() - start
    nodes = pd.read_parquet(store.discovered_nodes)
    first, second = nodes.iloc[0], nodes.iloc[min(1, len(nodes) - 1)]
    own = nodes[nodes["node"].isin(chosen.carriers)]
    row: dict[str, object] = {
        "set": chosen.name,
        "label × attribute": f"{chosen.source.label} × {chosen.attribute}",
        "carrier": " or ".join(chosen.carriers) if chosen.biased else "none",
        "first": f"{first['node']} ({first['aspect']})",
        "misleading": "yes" if first["misleading"] else "no",
        "evidence": f"{first['evidence']:.2f}",
        "of the next": f"{second['evidence']:.2f}",
        "conflicting": int(first["n_conflicting"]),
        "rank of carrier": str(own["rank"].min()) if chosen.biased and len(own) else "",
        "adjusted Rand": "",
        "seconds": f"{seconds:.0f}",
    }
    if chosen.biased and len(own):
        name = own.sort_values("rank")["attribute"].iloc[0]
        index = image_index(store, [chosen.attribute, name])
        index = index[index["split"] == "train"]
        row["adjusted Rand"] = f"{adjusted_rand_score(index[chosen.attribute], index[name]):.2f}"
    return row


def summary(rows: Sequence[dict[str, object]]) -> str:
    """How often, with Wilson intervals."""
    lines = []
    for biased in (True, False):
        own = [row for row in rows if (row["carrier"] != "none") == biased]
        if not own:
            continue
        counted = {
            "called misleading": sum(row["misleading"] == "yes" for row in own),
            **(
                {"carrier first": sum(row["rank of carrier"] == "1" for row in own)}
                if biased
                else {}
            ),
        }
        for what, count in counted.items():
            low, high = proportion_confint(count, len(own), method="wilson")
            lines.append(
                f"{'biased' if biased else 'clean'} sets, {what}: {count} of {len(own)} "
                f"[{low:.2f}, {high:.2f}]"
            )
    return "\n".join(lines)


def sets(arguments: argparse.Namespace) -> Iterator[DiscoverySet]:
    """The sets that the arguments name."""
    yield from map(portraits, arguments.portraits)
    yield from map(clean_portraits, arguments.clean)
    if arguments.root is None:
        return
    root, work = arguments.root, arguments.work
    pets = arguments.taxonomy == "pets"
    taxonomy = PETS if pets else builtin(arguments.taxonomy)
    tasks = [
        Task(path.stem, path, root, arguments.label, arguments.attribute)
        for path in arguments.task or []
    ]
    tasks += [
        drawn_table(root, arguments.label, arguments.attribute, seed, work, arguments.values)
        for seed in arguments.draw
    ]
    for task in tasks:
        yield table(task, taxonomy, tuple(arguments.carrier), work, arguments.split)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.discovery", description=__doc__)
    parser.add_argument("--root", type=Path, help="folder that the tables' file names start from")
    parser.add_argument("--task", type=Path, action="append", help="CSV of a biased split")
    parser.add_argument(
        "--draw", type=int, nargs="*", default=[], help="seeds of splits drawn from metadata.csv"
    )
    parser.add_argument("--label", help="column of the label")
    parser.add_argument("--attribute", help="column of the attribute")
    parser.add_argument("--values", nargs="*", default=(), help="attribute values to draw from")
    parser.add_argument("--taxonomy", help="a built-in one, or pets")
    parser.add_argument("--carrier", nargs="*", default=[], help="leaves that show the attribute")
    parser.add_argument(
        "--split", default="train", help="oracle: the unbiased train split of the tables"
    )
    parser.add_argument(
        "--portraits", type=int, nargs="*", default=[], help="seeds of portraits with a bias"
    )
    parser.add_argument(
        "--clean", type=int, nargs="*", default=[], help="seeds of portraits without one"
    )
    parser.add_argument("--work", type=Path, default=Path("discovery-work"))
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    chosen = parser.parse_args(arguments)
    rows = []
    for one in sets(chosen):
        rows.append(measured(one, chosen.work))
        print(" · ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    if not rows:
        parser.error("name a set: --portraits, --clean, or --root with --task or --draw")
    text = f"{markdown(list(rows[0]), [list(row.values()) for row in rows])}\n\n{summary(rows)}\n"
    print(f"\n{text}")
    if chosen.out:
        chosen.out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
