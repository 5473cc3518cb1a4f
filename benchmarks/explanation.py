"""Are the explanations right? Where the bias sits, what a node contributes, and against saliency.

    python -m benchmarks.explanation --celebamask DIR --ccp DIR --seeds 20 --out FILE.md

Parts: `localisation` (portraits with the bias planted in a random node: does that leaf rank
first?), `faithfulness` (a node is taken out of both images: does the total fall by what the
explanation said?), `saliency` (Grad-CAM and occlusion on a whole-image network beside the tree).
Figures of each part and seed are kept as JSON under `--work`, so a run that was stopped goes on.
`--quick` trains little: it shows that everything runs.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from statsmodels.stats.proportion import proportion_confint

from benchmarks.explanation_faithfulness import (
    faithfulness,
    largest_own_distance,
    remove_nodes,
    rho,
    without,
)
from benchmarks.explanation_saliency import (
    METHODS,
    by_leaf,
    network_input,
    pair_distance,
    train_whole_image_network,
)
from benchmarks.explanation_sets import (
    LABEL,
    BiasedSet,
    planted,
    ranked_leaves,
    real,
    test_pairs,
    trained_tree,
)
from benchmarks.kept import kept
from benchmarks.tables import table
from heml.images.images_table import image_index
from heml.metrics import identity
from heml.storage.atomic_write import write_aside
from heml.tree import tree_stage as fit_module
from heml.tree.image_records import Records
from heml.tree.metric_tree import MetricTree

PARTS = ("localisation", "faithfulness", "saliency")
VERSION = 1
OURS, LARGEST = "metric tree", "largest segment"
#: Portrait sets of the parts that need a whole tree.
TREE_SEEDS = 3


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark.

    Parameters
    ----------
    work : pathlib.Path
    folders : dict
        Name of a real set → its folder.
    seeds : int
        Portrait sets of the localisation.
    quick : bool
    """

    work: Path
    folders: dict[str, Path]
    seeds: int
    quick: bool

    @property
    def pairs(self) -> int:
        return 20 if self.quick else 60

    def sets(self) -> list[BiasedSet]:
        """Those of the parts that need a whole tree."""
        seeds = range(1 if self.quick else TREE_SEEDS)
        count = 400 if self.quick else 700
        drawn = [planted(seed, count, 128, test_share=0.2, quick=self.quick) for seed in seeds]
        return [*drawn, *(real(name, root, self.quick) for name, root in self.folders.items())]

    def kept(self, part: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        versions = VERSION, identity.VERSION, fit_module.VERSION, torch.__version__
        started = time.perf_counter()
        figures = kept(self.work / "figures", part, [self.quick, self.pairs, *versions], compute)
        say(f"{part}: {time.perf_counter() - started:.0f} s")
        return figures

    @property
    def stores(self) -> Path:
        return self.work / ("stores-quick" if self.quick else "stores")


def say(line: str) -> None:
    print(line, flush=True)


def _tell(line: str) -> None:
    """Progress of a stage, of which only what ends a node is worth a line."""
    if "precision at 1" in line or "worst-group" in line:
        say(line)


def _quiet(line: str) -> None:
    pass


def localise(bench: Bench, seed: int) -> dict[str, Any]:
    """Plants a bias and ranks the leaves."""
    torch.set_num_threads(1)
    count = 240 if bench.quick else 480
    chosen = planted(seed, count, 96, test_share=0.05, quick=bench.quick)

    def compute() -> dict[str, Any]:
        ranked = ranked_leaves(chosen, bench.stores / "localisation", _quiet)
        first, second = ranked.iloc[0], ranked.iloc[1]
        return {
            "attribute": chosen.attribute,
            "carriers": list(chosen.carriers),
            "first": str(first["node"]),
            "score": float(first["score"]),
            "second": str(second["node"]),
            "second_score": float(second["score"]),
            "hit": bool(first["node"] in chosen.carriers),
            "train": int(first["n"]),
            "conflicting": int(first["n_conflicting"]),
        }

    return bench.kept(f"localisation-{seed}", compute)


def localisation(bench: Bench) -> str:
    """All seeds, two at a time."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        found = list(pool.map(localise, [bench] * bench.seeds, range(bench.seeds)))
    hits = sum(seed["hit"] for seed in found)
    rows = [
        [
            number, seed["attribute"], ", ".join(seed["carriers"]),
            f"{seed['first']} {seed['score']:.2f}", f"{seed['second']} {seed['second_score']:.2f}",
            "yes" if seed["hit"] else "no",
        ]
        for number, seed in enumerate(found)
    ]  # fmt: skip
    header = ["seed", "planted in", "its segments", "first", "second", "found"]
    return (
        f"## Localisation of a planted bias\n\nThe planted segment ranks first in {hits} of "
        f"{len(found)} sets {_share(hits, len(found))}. Portraits, label {LABEL}; "
        f"{found[0]['train']} for training, {found[0]['conflicting']} of them conflicting; leaves "
        "trained and judged out of fold. Attributes that show in several segments count with any "
        f"of them.\n\n{table(header, rows)}"
    )


def _share(hits: int, n: int) -> str:
    low, high = proportion_confint(hits, n, method="wilson")
    return f"[{low:.2f}, {high:.2f}]"


def faithful(bench: Bench, chosen: BiasedSet) -> dict[str, Any]:
    """Takes every node but the root out of pairs of test images."""
    store, tree = trained_tree(chosen, bench.stores, _tell)
    records = Records(store.root)
    index = image_index(store, [chosen.attribute])
    pairs = test_pairs(index, chosen.attribute, bench.pairs, 0, conflicting=False)
    nodes = [node for node in tree.taxonomy.nodes if node != tree.taxonomy.root]
    removals = remove_nodes(tree, records, pairs, nodes)
    ids = [first for first, _ in pairs]
    return {
        "own_distance": largest_own_distance(tree, records, ids),
        "images": len(ids),
        **{which: faithfulness(removals, which, 0) for which in ("plain", "debiased")},
    }


def faithfulness_table(bench: Bench) -> str:
    rows = []
    for chosen in bench.sets():
        found = bench.kept(f"faithfulness-{chosen.name}", lambda c=chosen: faithful(bench, c))
        for which in ("plain", "debiased"):
            own = found[which]
            rows.append(
                [
                    f"{chosen.name}, {which}",
                    own["all"]["pairs"],
                    _rho(own["all"]),
                    _rho(own["matter"]),
                    f"{own['rest_median']:.1%}, {own['rest_90']:.1%} (n {own['rest']})",
                    f"{found['own_distance']:g}",
                ]
            )
    header = ["", "pairs", "Spearman, all removals", "said to be 1% or more",
              "moved where less was said: median, 90%", "largest self-distance"]  # fmt: skip
    return (
        "## Faithfulness: a node is taken out of both images\n\nWhat the explanation said the node "
        "(with all below it) contributes to the total, against how much the total fell. Test "
        "images; every node but the root; 95% intervals by bootstrap over pairs. Nodes without "
        "weight contribute exactly 0, and the order of what little happens there is that of noise: "
        "so the removals that were said to matter stand beside all of them, and how far the total "
        "moved, as a share of it, for the rest.\n\n" + table(header, rows)
    )


def _rho(own: dict[str, float]) -> str:
    return f"{own['rho']:.3f} [{own['low']:.3f}, {own['high']:.3f}], n {own['n']}"


def blame(bench: Bench, chosen: BiasedSet) -> dict[str, Any]:
    """Which leaf each method blames for the distance, and whether deleting bears it out."""
    store, tree = trained_tree(chosen, bench.stores, _tell)
    index = image_index(store, [chosen.attribute])
    labels = np.unique(index["label"], return_inverse=True)[1].astype(np.int64)
    train = np.flatnonzero((index["split"] == "train").to_numpy())
    network = train_whole_image_network(store, labels, train, chosen.settings)
    records = Records(store.root)
    pairs = test_pairs(index, chosen.attribute, bench.pairs, 0, conflicting=True)
    names = [OURS, *METHODS]
    found: dict[str, dict[str, list[Any]]] = {
        name: {"hits": [], "rho": [], "ms": []} for name in (*names, LARGEST)
    }
    leaves = list(chosen.taxonomy.leaves)
    for a, b in pairs:
        images = records[a], records[b]
        inputs = [network_input(pixels) for pixels, _ in images]
        drops = _drops(tree, network, images, leaves)
        for name in names:
            started = time.process_time()
            if name == OURS:
                said = {n.node: n.contributions["plain"] for n in tree.explain(*images).nodes}
                shares = {leaf: said[leaf] for leaf in leaves}
            else:
                maps = [METHODS[name](network, inputs[i], inputs[1 - i]) for i in (0, 1)]
                sums = [
                    by_leaf(m, i[1], chosen.taxonomy) for m, i in zip(maps, images, strict=True)
                ]
                shares = {leaf: sums[0][leaf] + sums[1][leaf] for leaf in leaves}
            own = found[name]
            own["ms"].append(1000 * (time.process_time() - started))
            own["hits"].append(max(leaves, key=shares.__getitem__) in chosen.carriers)
            shown = drops["leaves"]
            fell = drops[OURS if name == OURS else "network"]
            own["rho"].append(rho(np.array([shares[leaf] for leaf in shown]), fell))
        ones = np.ones((128, 128))
        areas = [by_leaf(ones, segments, chosen.taxonomy) for _, segments in images]
        largest = max(leaves, key=lambda leaf: areas[0][leaf] + areas[1][leaf])
        found[LARGEST]["hits"].append(largest in chosen.carriers)
    return {
        "carriers": list(chosen.carriers),
        "methods": {name: _summary(own) for name, own in found.items()},
    }


def _drops(
    tree: MetricTree, network: torch.nn.Module, images: tuple[Any, Any], leaves: list[str]
) -> dict[str, Any]:
    """How far each model's distance falls when a leaf is taken out of both images."""
    taxonomy = tree.taxonomy
    present = [leaf for leaf in leaves if any(set(taxonomy.classes_of(leaf)) & set(m)
                                              for _, m in images)]  # fmt: skip
    before = (
        tree.distance(*images, "plain"),
        pair_distance(network, *(network_input(pixels) for pixels, _ in images)),
    )
    fell: dict[str, list[float]] = {OURS: [], "network": []}
    for leaf in present:
        classes = taxonomy.classes_of(leaf)
        cut = without(images[0], classes), without(images[1], classes)
        fell[OURS].append(before[0] - tree.distance(*cut, "plain"))
        after = pair_distance(network, *(network_input(pixels) for pixels, _ in cut))
        fell["network"].append(before[1] - after)
    return {"leaves": present, **{name: np.array(values) for name, values in fell.items()}}


def _summary(own: dict[str, list[Any]]) -> dict[str, Any]:
    hits, n = sum(own["hits"]), len(own["hits"])
    summary: dict[str, Any] = {"hits": hits, "n": n}
    rhos = np.array([value for value in own["rho"] if np.isfinite(value)])
    if len(rhos):
        rng = np.random.default_rng(0)
        means = rhos[rng.integers(0, len(rhos), (1000, len(rhos)))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        summary |= {"rho": float(rhos.mean()), "low": float(low), "high": float(high)}
        summary["rho_n"] = len(rhos)
    if own["ms"]:
        summary["ms"] = float(np.median(own["ms"]))
    return summary


def saliency_table(bench: Bench) -> str:
    rows = []
    for chosen in bench.sets():
        found = bench.kept(f"saliency-{chosen.name}", lambda c=chosen: blame(bench, c))
        carriers = ", ".join(found["carriers"])
        for name, own in found["methods"].items():
            rows.append(
                [
                    f"{chosen.name} ({carriers}): {name}",
                    f"{own['hits']}/{own['n']} {_share(own['hits'], own['n'])}",
                    f"{own['rho']:.2f} [{own['low']:.2f}, {own['high']:.2f}], n {own['rho_n']}"
                    if "rho" in own
                    else "–",
                    f"{own['ms']:.0f}" if "ms" in own else "–",
                ]
            )
    header = ["", "carrier blamed most", "deletion, mean Spearman", "processor ms per pair"]
    return (
        "## Against saliency on a whole-image network\n\nPairs of test images of one label and "
        "different attributes: what a biased metric holds against them is what carries the "
        "attribute. "
        "The tree's plain similarity, leaves alone, beside captum on a whole-image network of the "
        "same family at 128 px, the library's SNR distance and triplet loss, trained on the same "
        "images for the same number of epochs; attributions summed per segment over both images. "
        "Deletion: per pair, the correlation over segments of what was blamed with how far the "
        "same model's distance fell when the segment was made neutral in both. The largest "
        "segment shows what blaming by area alone would give.\n\n" + table(header, rows)
    )


def run(bench: Bench, parts: list[str]) -> Iterator[str]:
    """Sections of the result, as Markdown."""
    sections = {
        "localisation": localisation,
        "faithfulness": faithfulness_table,
        "saliency": saliency_table,
    }
    for part in parts:
        yield sections[part](bench)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--celebamask", type=Path, help="folder of the faces")
    parser.add_argument("--ccp", type=Path, help="folder of the street photos")
    parser.add_argument("--seeds", type=int, default=20, help="portrait sets of the localisation")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="little training: does it run?")
    parser.add_argument("--work", type=Path, help="where stores and figures are kept")
    parser.add_argument("--out", type=Path, help="Markdown file; printed in any case")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    folders = {n: getattr(chosen, n) for n in ("celebamask", "ccp") if getattr(chosen, n)}
    work = chosen.work or Path(tempfile.gettempdir()) / "heml-benchmarks" / "explanation"
    bench = Bench(work, folders, chosen.seeds, chosen.quick)
    processors = f"{platform.machine()}, {os.cpu_count()} logical processors"
    quick = "\n\n**A quick run: too little training to judge by.**" if chosen.quick else ""
    machine = f"{processors}, torch {torch.__version__}, CPU"
    text = f"# Explanations of the metric tree\n\n{machine}{quick}\n\n"
    text += "\n\n".join(run(bench, chosen.parts)) + "\n"
    say(f"\n{text}")
    if chosen.out:
        with write_aside(chosen.out) as path:
            path.write_text(text)


if __name__ == "__main__":
    main()
