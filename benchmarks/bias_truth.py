"""Do the bias measures say what was planted? `python -m benchmarks.bias_truth`

Prints, with n and intervals: planted Cramér's V, nPMI and attribute AUC against what is measured at
n = 5,000; how often pure noise is flagged; how often the planted node comes first.
"""

import argparse
import time

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from heml.bias.association import association
from heml.bias.attributes import Attribute, measured_attributes
from heml.bias.bias_settings import BiasSettings
from heml.bias.bias_stage import score_node
from heml.bias.node_scores import AttributeScorer, rank_scores
from heml.bias.simulation import expected_auc, simulated_index, simulated_node

TONE = measured_attributes(["tone"])
N = 5000


def planted_table(v: float, n: int) -> dict[tuple[str, str], int]:
    """A balanced 2 × 2 table whose Cramér's V is v."""
    same = round(n * (1 + v) / 4)
    return {
        ("a", "x"): same,
        ("a", "y"): n // 2 - same,
        ("b", "x"): n // 2 - same,
        ("b", "y"): same,
    }


def drawn_index(
    labels: dict[str, float], attributes: dict[str, float], n: int, seed: int
) -> pd.DataFrame:
    """Records whose label and attribute are drawn without regard to each other."""
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(list(p), n, p=list(p.values())) for p in (labels, attributes)]
    frame = pd.DataFrame(dict(zip(("label", "tone"), chosen, strict=True)))
    return frame.assign(image_id=[str(i) for i in range(n)], split="train")


def association_truth(trials: int) -> None:
    print(
        f"\nPlanted association at n = {N}: error with exactly the planted counts, and largest "
        f"error of {trials} draws\n(a draw's own V has a standard deviation of about "
        f"{1 / np.sqrt(N):.3f})"
    )
    header = ("planted V", "V", "nPMI", "V, drawn", "nPMI, drawn", "V inside its interval")
    print(" ".join(f"{word:>12}" for word in header))
    for v in (0.0, 0.1, 0.3, 0.6, 0.9):
        exact = _association_errors(simulated_index(planted_table(v, N), ["tone"]), v, 0)
        same, other = (1 + v) / 4, (1 - v) / 4
        keys = list(planted_table(v, N))
        drawn = []
        for seed in range(trials):
            counts = np.random.default_rng(seed).multinomial(N, [same, other, other, same])
            index = simulated_index(dict(zip(keys, counts, strict=True)), ["tone"])
            drawn.append(_association_errors(index, v, seed))
        worst, inside = np.max(drawn, axis=0), int(np.sum(drawn, axis=0)[2])
        numbers = " ".join(f"{x:>12.3f}" for x in (v, *exact[:2], *worst[:2]))
        print(f"{numbers} {inside:>14} of {trials}")


def _association_errors(index: pd.DataFrame, v: float, seed: int) -> tuple[float, float, bool]:
    """Errors of V and of the nPMI of one aligned group, and whether V's interval holds the truth.
    Errors of V and of the nPMI of one aligned group, and whether V's interval holds the truth."""
    links, measures = association(index, TONE, 500, 200, seed)
    row = links.iloc[0]
    group = measures.query("measure == 'npmi' and label_value == 'a' and attribute_value == 'x'")
    npmi = np.log(1 + v) / -np.log((1 + v) / 4)
    inside = row["cramers_v_low"] <= v <= row["cramers_v_high"]
    return abs(row["cramers_v"] - v), abs(group["value"].iloc[0] - npmi), inside


def attribute_auc_truth(trials: int) -> None:
    print(f"\nPlanted attribute AUC at n = {N}, 60% aligned, {trials} draws: measured AUC")
    print(f"{'planted':>10} {'mean':>8} {'largest error':>15} {'inside its interval':>22}")
    index = simulated_index(planted_table(0.2, N), ["tone"])
    settings = BiasSettings(resamples=300, permutations=100)
    for distance in (0.0, 0.5, 1.0, 2.0):
        truth = expected_auc(distance)
        found, inside = [], 0
        for seed in range(trials):
            node = simulated_node(index, {"tone": distance}, seed)
            scorer = AttributeScorer(index, TONE[0], node.fold, settings)
            # Leakage looks at no label votes.
            row = scorer.score(node, np.zeros(N, bool))
            found.append(row["attribute_auc"])
            inside += row["attribute_auc_low"] <= truth <= row["attribute_auc_high"]
        error = np.abs(np.array(found) - truth).max()
        print(f"{truth:>10.3f} {np.mean(found):>8.3f} {error:>15.3f} {inside:>15} of {trials}")


def noise(trials: int, n: int) -> None:
    even = {"a": 0.5, "b": 0.5}
    rare = {"a": 0.9, "b": 0.1}
    three = {"x": 0.6, "y": 0.3, "z": 0.1}
    print(f"\nPure noise flagged, of {trials} trials at n = {n} (95% interval of the rate)")
    print(f"{'labels':>14} {'attributes':>18} {'AUC p':>12} {'gap p':>8} {'association p':>14}"
          f" {'flagged':>9}")  # fmt: skip
    settings = BiasSettings(resamples=200, permutations=399)
    for labels, attributes in (
        (even, {"x": 0.5, "y": 0.5}), (rare, {"x": 0.5, "y": 0.5}), (even, {"x": 0.9, "y": 0.1}),
        (rare, {"x": 0.9, "y": 0.1}), (even, three), (rare, three),
    ):  # fmt: skip
        hits = np.zeros(4, int)
        for seed in range(trials):
            index = drawn_index(labels, attributes, n, seed)
            node = simulated_node(index, {"label": 2.0}, seed)
            scorer = AttributeScorer(index, TONE[0], node.fold, settings)
            row = rank_scores(pd.DataFrame(score_node(node, index, [scorer], 10)).assign(
                node="node", kind="leaf")).iloc[0]  # fmt: skip
            p = association(index, TONE, 50, 399, seed)[0]["permutation_p"].iloc[0]
            hits += [
                row["attribute_auc_p"] <= 0.05,
                (row["accuracy_gap_p"] or 1) <= 0.05,
                p <= 0.05,
                row["flagged"],
            ]
        rates = [f"{h / trials:.3f}" for h in hits]
        low, high = proportion_confint(hits[3], trials, method="wilson")
        print(f"{'/'.join(f'{s:.0%}' for s in labels.values()):>14} "
              f"{'/'.join(f'{s:.0%}' for s in attributes.values()):>18} {rates[0]:>12} "
              f"{rates[1]:>8} "
              f"{rates[2]:>14} {rates[3]:>9} [{low:.3f}, {high:.3f}]")  # fmt: skip


def planted_first(seeds: int) -> None:
    """Ten nodes: one carries the attribute alone, one the label, the rest noise or a little of
    both."""
    print(f"\nPlanted node first among ten, of {seeds} seeds (n = 400, 12 conflicting records)")
    counts = {("a", "x"): 194, ("a", "y"): 6, ("b", "x"): 6, ("b", "y"): 194}
    settings = BiasSettings(resamples=200, permutations=200)
    for distance in (4.0, 2.0):
        first = 0
        for seed in range(seeds):
            index = simulated_index(counts, ["tone"])
            strengths = [{"tone": distance}, {"label": 4.0}, {"label": 1.0}]
            strengths += [dict[str, float]()] * 7
            rows = []
            for number, held in enumerate(strengths):
                # The metrics of one tree share their folds, so they share the seed of the folds.
                node = simulated_node(index, held, seed)
                rng = np.random.default_rng([seed, number])
                node.cross_fitted[:] += 0.1 * rng.normal(size=node.cross_fitted.shape[1:])
                scorer = AttributeScorer(index, Attribute("tone", ("tone",)), node.fold, settings)
                row = score_node(node, index, [scorer], 10)[0]
                rows.append({"node": str(number), "kind": "leaf", **row})
            first += rank_scores(pd.DataFrame(rows))["node"].iloc[0] == "0"
        print(f"  means {distance} deviations apart: {first} of {seeds}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200, help="trials of pure noise")
    parser.add_argument("--n", type=int, default=300, help="records of a noise trial")
    parser.add_argument("--draws", type=int, default=20, help="draws of each planted value")
    parser.add_argument("--seeds", type=int, default=20, help="seeds of the planted node")
    arguments = parser.parse_args()
    start = time.monotonic()
    association_truth(arguments.draws)
    attribute_auc_truth(max(arguments.draws // 2, 1))
    noise(arguments.trials, arguments.n)
    planted_first(arguments.seeds)
    print(f"\n{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
