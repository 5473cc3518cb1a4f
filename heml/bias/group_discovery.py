"""The stage that finds attributes where no column gives one.

Every leaf gets a discovered attribute: which label it looks like, its color, or its presence. The
one that misleads the models of the label most, while the rest of the image knows better, gives the
dataset its attribute, `discovered.<leaf>`; every later stage uses that as it would a column.

The best of many candidates looks better than it is. No record is judged by a model that saw it,
p-values are controlled over all candidates of all leaves, and a leaf must also come first without
each of the folds in turn, or nearly so, to be called misleading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data_contracts import DISCOVERED_GROUPS, DISCOVERED_NODES
from heml.bias.bias_settings import BiasSettings
from heml.bias.discovery_candidates import Candidate, candidates
from heml.bias.fdr import controlled
from heml.bias.label_guess import LabelGuess, guess_labels, votes_of_all
from heml.bias.leaf_appearance import leaf_appearances
from heml.bias.misleading import Judged, Witnesses, judge
from heml.images.groups import MISSING
from heml.images.images_table import image_index
from heml.metrics.artifacts import NodeMetric, load_node
from heml.metrics.metric_settings import MetricSettings
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage

VERSION = 8
#: An attribute is called misleading if its q-value is no higher, its evidence no less, and its leaf
#: comes first in more than this share of the runs without a fold; and if all leaves or the whole
#: image are misled by no less than this: a leaf that fools nobody but its own models does no harm.
#: The least evidence and harm were set on sets without a bias; docs/discovery.md has the figures.
SIGNIFICANT, LEAST_EVIDENCE, STEADY, LEAST_HARM = 0.05, 0.22, 0.5, 0.05
#: What `Judged.measures` gives, where nothing could be judged.
_NOTHING: dict[str, float | None] = {
    "cramers_v": None,
    "misled_own": None,
    "misled_joined": None,
    "misled_whole": None,
    "misled": None,
    "others": None,
    "evidence": 0.0,
}


class NothingDiscovered(ValueError):
    """No leaf has two kinds of appearance; the message says what to do."""


def discover_groups(run: RunContext, metric: MetricSettings, bias: BiasSettings) -> Outcome:
    """Writes `store.discovered_groups` and `store.discovered_nodes`; the summary names the chosen.

    Only the train split's labels are looked at; images of other splits get the value that the
    models of all folds give them.

    Raises
    ------
    NothingDiscovered
        If every leaf looks the same in all images, or there is one label only.
    """
    store, taxonomy = run.store, run.taxonomy
    key = fingerprint(
        VERSION,
        metric.neighbors,
        bias.model_dump(),
        taxonomy.describe(),
        store.summary("images")["content"],
        store.summary("segments")["content"],
        [store.fingerprint(f"metric/{node}") for node in (*taxonomy.leaves, taxonomy.root)],
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        index = image_index(store, [])
        nodes, attributes = _discover(run, index, metric, bias)
        outputs = [store.discovered_groups, store.discovered_nodes]
        for contract, frame, path in zip(
            (DISCOVERED_GROUPS, DISCOVERED_NODES), (attributes, nodes), outputs, strict=True
        ):
            with write_aside(path) as aside:
                pq.write_table(contract.table(frame), aside, compression="zstd")
        summary = _describe(nodes)
        run.progress(f"discovered_groups: {summary['words']}")
        return summary, outputs

    return run_stage(store, "discovered_groups", key, compute, run.progress)


def _discover(
    run: RunContext, index: pd.DataFrame, metric: MetricSettings, bias: BiasSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    train = index["split"] == "train"
    labels = np.unique(index.loc[train, "label"].astype(str)).tolist()
    codes = pd.Categorical(index["label"].astype(str), labels).codes.astype(int)
    if len(labels) < 2:
        raise NothingDiscovered(
            f"no attribute was found: all train images have the label '{labels[0]}'; name "
            "attributes in source.attributes"
        )
    appearances = leaf_appearances(run, len(index))
    fold, guesses, present = np.full(len(index), -1), {}, {}
    leaves = list(run.taxonomy.leaves)
    for number, leaf in enumerate(leaves, start=1):
        run.progress(f"discovered_groups: {leaf} ({number}/{len(leaves)})")
        node = load_node(run.store, leaf)
        rows = _rows_of(node, index)
        fold[rows] = node.fold
        votes = np.zeros((len(index), len(labels)))
        votes[rows] = votes_of_all(node, codes[rows], len(labels), metric.neighbors)
        guesses[leaf] = guess_labels(votes, appearances[leaf], codes, fold)
        present[leaf] = ~np.isnan(appearances[leaf]).any(axis=1)
    judged = np.flatnonzero(fold >= 0)
    root = load_node(run.store, run.taxonomy.root)
    rows = _rows_of(root, index)
    whole = np.full(len(index), -1)
    whole[rows] = votes_of_all(root, codes[rows], len(labels), metric.neighbors).argmax(axis=1)
    witnesses = Witnesses(
        codes[judged],
        fold[judged],
        {
            leaf: LabelGuess(guess.probabilities[judged], guess.by_appearance[judged])
            for leaf, guess in guesses.items()
        },
        {leaf: shown[judged] for leaf, shown in present.items()},
        whole[judged],
    )
    found: dict[tuple[str, str], Candidate] = {}
    results: dict[tuple[str, str], Judged | None] = {}
    for leaf in leaves:
        for candidate in candidates(
            leaf, appearances[leaf], guesses[leaf].probabilities, labels, index, fold, bias
        ):
            key = leaf, candidate.aspect
            found[key] = candidate
            results[key] = judge(witnesses, leaf, _codes(candidate, judged))
    if not found:
        raise NothingDiscovered(
            "no attribute was found: every segment has about the same color in all images; name "
            "attributes in source.attributes"
        )
    ranked = rank_candidates(results, bias)
    rows_of = ranked.apply(
        lambda row: _facts(found[row["node"], row["aspect"]], results, labels, index, fold), axis=1
    )
    nodes = pd.concat([ranked, pd.DataFrame(rows_of.tolist())], axis=1)
    chosen = [found[key] for key in zip(nodes["node"], nodes["aspect"], strict=True)]
    return nodes, pd.concat([_rows(candidate, index) for candidate in chosen])


def _rows_of(node: NodeMetric, index: pd.DataFrame) -> np.ndarray:
    """Rows of the image index that a node's embeddings are of, in their order."""
    return pd.Index(index["image_id"]).get_indexer(node.index["image_id"])


def _codes(candidate: Candidate, rows: np.ndarray) -> np.ndarray:
    return pd.Categorical(candidate.values[rows], candidate.names).codes.astype(int)


def rank_candidates(
    results: Mapping[tuple[str, str], Judged | None], bias: BiasSettings
) -> pd.DataFrame:
    """The candidate of each leaf, most misleading first, with q-values over all candidates.

    Parameters
    ----------
    results : mapping of (leaf, aspect) to Judged or None

    Returns
    -------
    DataFrame
        Columns node, aspect, those of `Judged.measures`, q, first_without_fold (share of the
        folds without which the leaf still has the most evidence), misleading, rank, chosen.
    """
    rows = pd.DataFrame(
        [
            {
                "node": node,
                "aspect": aspect,
                **(_NOTHING if judged is None else judged.measures()),
                "p": None if judged is None else judged.p(bias.permutations, bias.seed),
            }
            for (node, aspect), judged in results.items()
        ]
    )
    firsts = _first_without_folds(results)
    share = {node: firsts.count(node) / len(firsts) for node in set(firsts)}
    rows = rows.assign(
        q=controlled(rows),
        first_without_fold=rows["node"].map(share).fillna(0.0).astype(float),
    )
    rows = rows.assign(
        misleading=(rows["q"] <= SIGNIFICANT)
        & (rows[["misled_joined", "misled_whole"]].astype(float).max(axis=1) >= LEAST_HARM)
        & (rows["evidence"] >= LEAST_EVIDENCE)
        & (rows["first_without_fold"] > STEADY)
    )
    rows = rows.sort_values(
        ["misleading", "evidence", "cramers_v", "node", "aspect"],
        ascending=[False, False, False, True, True],
    ).drop_duplicates("node")
    place = np.arange(1, len(rows) + 1)
    rows = rows.drop(columns="p").assign(rank=place.astype(np.int32), chosen=place == 1)
    return rows.reset_index(drop=True)


def _first_without_folds(results: Mapping[tuple[str, str], Judged | None]) -> list[str]:
    """The leaf with the most evidence on the records outside each fold."""
    known = {key: judged for key, judged in results.items() if judged is not None}
    firsts = []
    for fold in sorted({int(f) for judged in known.values() for f in np.unique(judged.fold)}):
        evidence = {
            key: judged.measures(np.flatnonzero(judged.fold != fold))["evidence"]
            for key, judged in known.items()
        }
        firsts.append(max(sorted(evidence), key=lambda key: evidence[key])[0])
    return firsts


def _facts(
    candidate: Candidate,
    results: Mapping[tuple[str, str], Judged | None],
    labels: Sequence[str],
    index: pd.DataFrame,
    fold: np.ndarray,
) -> dict[str, Any]:
    """What the table and the report say of a candidate beside its evidence."""
    values, ids = candidate.values, index["image_id"].to_numpy(object)
    train = (index["split"] == "train").to_numpy()
    judged = results[candidate.node, candidate.aspect]
    groups: dict[str, Any] = {name: [] for name in ("label", "value", "n")}
    errors: dict[str, list[float]] = {
        f"{name}_{model}": []
        for model in ("joined", "whole")
        for name in ("error", "error_low", "error_high")
    }
    conflicting: list[list[str]] = [[] for _ in candidate.names]
    if judged is not None:
        joined, whole = judged.errors("joined"), judged.errors("whole")
        for first, second in zip(joined, whole, strict=True):
            groups["label"].append(labels[first["label"]])
            groups["value"].append(candidate.names[first["code"]])
            groups["n"].append(first["n"])
            for model, cell in (("joined", first), ("whole", second)):
                errors[f"error_{model}"].append(cell["rate"])
                errors[f"error_low_{model}"].append(cell["low"])
                errors[f"error_high_{model}"].append(cell["high"])
        among = np.zeros(len(ids), bool)
        rows = np.flatnonzero(fold >= 0)
        rows = rows[_codes(candidate, rows) >= 0]
        among[rows[~judged.aligned]] = True
        conflicting = candidate.exemplars(ids, among)
    known = train & (values != MISSING)
    return {
        "attribute": candidate.attribute,
        "n": int((known & (fold >= 0)).sum()),
        "n_missing": int((train & (fold >= 0) & ~known).sum()),
        "n_conflicting": 0 if judged is None else int((~judged.aligned).sum()),
        "silhouette": candidate.silhouette,
        "values": candidate.names,
        "counts": [int((train & (values == name)).sum()) for name in candidate.names],
        "exemplars": candidate.exemplars(ids, train),
        "conflicting": conflicting,
        **{f"group_{name}": own for name, own in groups.items()},
        **{f"group_{name}": own for name, own in errors.items()},
    }


def _rows(candidate: Candidate, index: pd.DataFrame) -> pd.DataFrame:
    values = [None if value == MISSING else value for value in candidate.values]
    return pd.DataFrame(
        {"image_id": index["image_id"], "attribute": candidate.attribute, "value": values}
    ).astype(object)


def _describe(nodes: pd.DataFrame) -> dict[str, Any]:
    first = nodes.iloc[0]
    counts = dict(zip(first["values"], first["counts"], strict=True))
    misleading = nodes.loc[nodes["misleading"], "node"].tolist()
    found = (
        f"evidence {first['evidence']:.2f}: models are wrong {first['misled']:.0%} more often on "
        f"its {first['n_conflicting']} conflicting images"
        if first["misleading"]
        else "no segment was found that misleads, so its groups are not certain to matter"
    )
    return {
        "attribute": str(first["attribute"]),
        "node": str(first["node"]),
        "aspect": str(first["aspect"]),
        "values": counts,
        "evidence": float(first["evidence"]),
        "cramers_v": None if pd.isna(first["cramers_v"]) else float(first["cramers_v"]),
        "sure": bool(first["misleading"]),
        "misleading": misleading,
        "scores": {str(row.node): round(float(row.evidence), 4) for row in nodes.itertuples()},  # type: ignore[arg-type]
        "words": (
            f"{first['aspect']} of {first['node']} serves as the attribute {first['attribute']}: "
            f"{len(counts)} values; {found}"
        ),
    }
