"""The stage that finds attributes where no column gives one.

Every leaf gets a discovered attribute: clusters of its color, or its presence. The leaf whose
attribute is associated with the label, and whose own metric relies on it most, gives the dataset
its attribute, `discovered.<leaf>`; every later stage uses that as it would a column.

The best of many candidates looks better than it is. Candidates are therefore chosen on one half of
the train records and their scores measured on the other, and q-values count all candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data_contracts import DISCOVERED_GROUPS, DISCOVERED_NODES
from heml.bias.accuracy_gap import out_of_fold_votes
from heml.bias.association import association
from heml.bias.attributes import Attribute, contingency
from heml.bias.bias_settings import BiasSettings
from heml.bias.clusters import Clusters, find_clusters
from heml.bias.fdr import controlled
from heml.bias.leaf_appearance import leaf_colors
from heml.bias.node_scores import SIGNIFICANT, AttributeScorer
from heml.bias.tables import cramers_v, p_value, permuted_tables
from heml.images.groups import DISCOVERED, MISSING
from heml.images.images_table import image_index
from heml.metrics.artifacts import NodeMetric, load_node, measured_images
from heml.metrics.metric_settings import MetricSettings
from heml.storage.atomic_write import write_aside
from heml.storage.fingerprint import fingerprint
from heml.storage.run_context import RunContext
from heml.storage.stage import Outcome, run_stage

VERSION = 3
#: A leaf that this share of the train images has, or lacks, has no presence attribute.
RARE = 0.05
#: Images named per value.
EXEMPLARS = 6


class NothingDiscovered(ValueError):
    """No leaf has two kinds of appearance; the message says what to do."""


@dataclass(frozen=True)
class Candidate:
    """An attribute that one leaf could give.

    Parameters
    ----------
    node : str
    aspect : str
        One of `data_contracts.discovered_groups.ASPECTS`.
    values : object array (N,) of str
        Of every image; `MISSING` where the image does not show the leaf.
    names : list of str
        The values, most frequent in the train split first.
    exemplars : list of list of str
        Train images of each value, most typical first.
    silhouette : float or None
    """

    node: str
    aspect: str
    values: np.ndarray
    names: list[str]
    exemplars: list[list[str]]
    silhouette: float | None

    @property
    def attribute(self) -> str:
        return DISCOVERED + self.node


def discover_groups(run: RunContext, metric: MetricSettings, bias: BiasSettings) -> Outcome:
    """Writes `store.discovered_groups` and `store.discovered_nodes`; the summary names the chosen.

    Only the train split's labels are looked at; images of other splits get the value of the nearest
    cluster.

    Raises
    ------
    NothingDiscovered
        If every leaf looks the same in all images.
    """
    store, taxonomy = run.store, run.taxonomy
    key = fingerprint(
        VERSION,
        metric.neighbors,
        bias.model_dump(),
        taxonomy.describe(),
        store.summary("images")["content"],
        store.summary("segments")["content"],
        [store.fingerprint(f"metric/{leaf}") for leaf in taxonomy.leaves],
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        index = image_index(store, [])
        colors = leaf_colors(run, len(index))
        rows, found = [], {}
        for number, leaf in enumerate(taxonomy.leaves, start=1):
            run.progress(f"discovered_groups: {leaf} ({number}/{len(taxonomy.leaves)})")
            node = load_node(store, leaf)
            folds = dict(zip(node.index["image_id"], node.fold, strict=True))
            fold = index["image_id"].map(folds).fillna(-1).to_numpy(int)
            for candidate in candidates(leaf, colors[leaf], index, fold, bias):
                rows.append(_score(candidate, index, node, metric, bias))
                found[leaf, candidate.aspect] = candidate
        if not rows:
            raise NothingDiscovered(
                "no attribute was found: every segment has about the same color in all images; "
                "name "
                "attributes in source.attributes"
            )
        nodes = rank_candidates(pd.DataFrame(rows))
        attributes = pd.concat(
            [_rows(found[key], index) for key in zip(nodes["node"], nodes["aspect"], strict=True)]
        )
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


def candidates(
    leaf: str, colors: np.ndarray, index: pd.DataFrame, fold: np.ndarray, bias: BiasSettings
) -> Iterator[Candidate]:
    """The attributes that one leaf could give: clusters of its color, and its presence.

    Parameters
    ----------
    colors : float array (N, 3)
        Mean color of the leaf in each image; NaN where it is absent.
    index : DataFrame
        Columns image_id and split.
    fold : int array (N,)
        Cross-fitting folds, -1 outside the train split and outside the metrics' sample.
    """
    present = ~np.isnan(colors).any(axis=1)
    train = (index["split"] == "train").to_numpy()
    ids = index["image_id"].to_numpy(object)
    seen = np.flatnonzero(present & (fold >= 0))
    clusters = find_clusters(colors[seen], fold[seen], bias.max_clusters, bias.seed)
    if clusters is not None:
        yield _color_candidate(leaf, colors, present, seen, ids, clusters)
    share = present[train].mean()
    if RARE <= share <= 1 - RARE:
        values = np.where(present, "present", "absent").astype(object)
        names = ["present", "absent"] if share >= 0.5 else ["absent", "present"]
        of_value = [ids[train & (values == name)] for name in names]
        yield Candidate(
            leaf, "presence", values, names, [own[:EXEMPLARS].tolist() for own in of_value], None
        )


def _color_candidate(
    leaf: str,
    colors: np.ndarray,
    present: np.ndarray,
    seen: np.ndarray,
    ids: np.ndarray,
    clusters: Clusters,
) -> Candidate:
    distances = clusters.distances(colors[seen])
    nearest = distances.argmin(axis=1)
    exemplars = []
    for number in range(len(clusters.centers)):
        own = np.flatnonzero(nearest == number)
        order = own[np.argsort(distances[own, number], kind="stable")]
        exemplars.append(ids[seen[order[:EXEMPLARS]]].tolist())
    names = [f"like {own[0]}" for own in exemplars]
    values = np.full(len(ids), MISSING, object)
    values[present] = np.array(names, dtype=object)[clusters.assign(colors[present])]
    return Candidate(leaf, "color", values, names, exemplars, clusters.silhouette)


def choosing_half(index: pd.DataFrame, fold: np.ndarray, seed: int) -> np.ndarray:
    """The half of the train records that candidates are chosen on, the same share of every label.

    Parameters
    ----------
    index : DataFrame
        Columns split and label.
    fold : int array (N,)
        Cross-fitting folds: each is divided too.

    Returns
    -------
    bool array (N,)
        False outside the train split.
    """
    order = np.random.default_rng(seed).permutation(len(index))
    drawn = pd.DataFrame({"label": index["label"].to_numpy(str), "fold": fold}).iloc[order]
    place = drawn.groupby(["label", "fold"]).cumcount().sort_index().to_numpy()
    return (place % 2 == 0) & (index["split"] == "train").to_numpy()


def _score(
    candidate: Candidate,
    index: pd.DataFrame,
    node: NodeMetric,
    metric: MetricSettings,
    bias: BiasSettings,
) -> dict[str, Any]:
    """How strongly the attribute is associated with the label, and the leaf's metric relies on it.

    Measured on the half of the train records on which it was not chosen; what it is chosen by, in
    `chosen_score` and `chosen_cramers_v`, and the test of independence, which all candidates
    share, are of the other half and of all records.
    """
    frame = measured_images(index.assign(**{candidate.attribute: candidate.values}), node)
    values = frame[candidate.attribute]
    train = (frame["split"] == "train").to_numpy()
    chosen_on = choosing_half(frame, node.fold, bias.seed)
    labels = np.unique(frame["label"], return_inverse=True)[1]
    correct = out_of_fold_votes(node, labels, metric.neighbors).argmax(axis=1) == labels
    attribute = Attribute(candidate.attribute, (candidate.attribute,))

    def measured(within: np.ndarray) -> tuple[dict[str, Any], pd.Series]:
        part = frame.assign(**{candidate.attribute: values.where(within, MISSING)})
        links, _ = association(
            part[within], [attribute], bias.resamples, bias.permutations, bias.seed
        )
        return AttributeScorer(part, attribute, node.fold, bias).score(node, correct), links.iloc[0]

    judged = train & ~chosen_on
    score, link = measured(judged)
    chosen_score, chosen_link = measured(chosen_on)
    return {
        **score,
        **link[["cramers_v", "cramers_v_low", "cramers_v_high"]],
        "permutation_p": _independence(frame[train], attribute, bias),
        "n_missing": int((values[judged] == MISSING).sum()),
        "chosen_score": chosen_score["score"],
        "chosen_cramers_v": chosen_link["cramers_v"],
        "attribute": candidate.attribute,
        "node": candidate.node,
        "aspect": candidate.aspect,
        "silhouette": candidate.silhouette,
        "values": candidate.names,
        "counts": [int((values[train] == name).sum()) for name in candidate.names],
        "exemplars": candidate.exemplars,
    }


def _independence(train: pd.DataFrame, attribute: Attribute, bias: BiasSettings) -> float:
    """p-value of the permutation test of independence of label and attribute."""
    table = contingency(train, attribute).table
    null = permuted_tables(table, bias.permutations, np.random.default_rng(bias.seed))
    return float(p_value(cramers_v(table), cramers_v(null)))


def rank_candidates(rows: pd.DataFrame) -> pd.DataFrame:
    """The candidate of each leaf, most misleading first, with q-values over all candidates.

    Attributes that are associated with the label (q at most `SIGNIFICANT`) come before others, then
    the leaf's bias score for its attribute decides, then Cramér's V, both on the half of the
    records that candidates are chosen on. The first is chosen even if it is weak: its score and
    interval, from the other half, say so.

    Parameters
    ----------
    rows : DataFrame
        One per candidate.
    """
    rows = rows.assign(
        permutation_q=controlled(rows, column="permutation_p"),
        score_q=controlled(rows, column="score_p"),
    )
    rows = rows.assign(linked=rows["permutation_q"] <= SIGNIFICANT).sort_values(
        ["linked", "chosen_score", "chosen_cramers_v", "aspect", "node"],
        ascending=[False, False, False, False, True],
    )
    rows = rows.drop_duplicates("node")
    place = np.arange(1, len(rows) + 1)
    return rows.assign(rank=place.astype(np.int32), chosen=place == 1).reset_index(drop=True)


def _rows(candidate: Candidate, index: pd.DataFrame) -> pd.DataFrame:
    values = [None if value == MISSING else value for value in candidate.values]
    return pd.DataFrame(
        {"image_id": index["image_id"], "attribute": candidate.attribute, "value": values}
    ).astype(object)


def _describe(nodes: pd.DataFrame) -> dict[str, Any]:
    first = nodes.iloc[0]
    counts = dict(zip(first["values"], first["counts"], strict=True))
    sure = first["linked"] and first["score_low"] > 0
    return {
        "attribute": str(first["attribute"]),
        "node": str(first["node"]),
        "aspect": str(first["aspect"]),
        "values": counts,
        "score": float(first["score"]),
        "cramers_v": float(first["cramers_v"]),
        "sure": bool(sure),
        "scores": {str(row.node): round(float(row.score), 4) for row in nodes.itertuples()},  # type: ignore[arg-type]
        "words": (
            f"{first['aspect']} of {first['node']} serves as the attribute {first['attribute']}: "
            f"{len(counts)} values, Cramér's V {first['cramers_v']:.2f} with the label, score "
            f"{first['score']:.2f} [{first['score_low']:.2f}, {first['score_high']:.2f}]"
            + ("" if sure else "; that the metric relies on it is not certain")
        ),
    }
