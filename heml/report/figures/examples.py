"""Selection of examples by fixed rules, without randomness and without picking the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from scipy.special import expit

from data_contracts.rebalance_plan import DIRECTIONS
from heml.parts.wording import group_of
from heml.recombination.gate import GATE_COLUMNS
from heml.recombination.operator import OPERATORS
from heml.storage.store import Store
from heml.tree.metric_tree import MetricTree, Which

#: Pairs of each kind that are looked at.
CANDIDATES = 200


def spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of `count` positions, evenly spread."""
    if count <= wanted:
        return list(range(count))
    return np.linspace(0, count - 1, wanted).round().astype(int).tolist()


def examples_per_group(
    index: pd.DataFrame, attributes: Sequence[str], wanted: int
) -> list[tuple[tuple[str, ...], int, list[str]]]:
    """Per group (label, attribute values): number of train records, and ids spread over them."""
    train = index[index["split"] == "train"]
    groups = []
    for key, own in train.groupby(["label", *attributes], sort=True):
        ids = own["image_id"].tolist()
        chosen = [ids[i] for i in spread(len(ids), wanted)]
        groups.append((tuple(map(str, key)), len(ids), chosen))
    return groups


def train_examples(index: pd.DataFrame, attributes: Sequence[str], wanted: int) -> list[str]:
    """A few train ids, alternating between groups."""
    per_group = [ids for _, _, ids in examples_per_group(index, attributes, wanted)]
    chosen = [ids[i] for i in range(wanted) for ids in per_group if i < len(ids)]
    return chosen[:wanted]


@dataclass(frozen=True)
class ChosenPair:
    """Two train images and what is the same about them.

    Parameters
    ----------
    first, second : str
        Image ids.
    same_label : bool
    """

    first: str
    second: str
    same_label: bool


_SIMILARITIES: tuple[Which, ...] = ("plain", "debiased")


def contrasting_pairs(tree: MetricTree, attributes: Sequence[str]) -> list[ChosenPair]:
    """A pair of one label and different attributes, and a pair of one attribute and different
    labels.

    Of each kind, the pair on which plain and debiased similarity disagree most in probability,
    among `CANDIDATES` pairs spread over all of them: where the bias makes the difference shows
    what either similarity looks at. Kinds that no two images form are left out.
    """
    labels = tree.column("label")
    values = np.stack([tree.column(attribute) for attribute in attributes], axis=1)
    chosen = []
    for same_label in (True, False):
        pairs = _candidates(labels, values, same_label)
        if not len(pairs):
            continue
        probabilities = {which: _probabilities(tree, pairs, which) for which in _SIMILARITIES}
        gain = probabilities["debiased"] - probabilities["plain"]
        first, second = pairs[int(np.argmax(gain if same_label else -gain))]
        ids = tree.index[first]["image_id"], tree.index[second]["image_id"]
        chosen.append(ChosenPair(*ids, same_label))
    return chosen


def _candidates(labels: np.ndarray, values: np.ndarray, same_label: bool) -> np.ndarray:
    """Row pairs int (P, 2) that share label or attributes, and only these."""
    size = max(int(np.sqrt(CANDIDATES)), 1)
    groups = pd.DataFrame(values).assign(label=labels).groupby(["label", *range(values.shape[1])])
    rows = [own.to_numpy() for own in groups.groups.values()]
    found: list[tuple[int, int]] = []
    for i, left in enumerate(rows):
        for right in rows[i + 1 :]:
            one, other = left[0], right[0]
            equal_label = bool(labels[one] == labels[other])
            equal_values = bool((values[one] == values[other]).all())
            if equal_label == same_label and equal_values != same_label:
                found += [
                    (int(left[a]), int(right[b]))
                    for a in spread(len(left), size)
                    for b in spread(len(right), size)
                ]
    return np.array([found[i] for i in spread(len(found), CANDIDATES)]).reshape(-1, 2)


def _probabilities(tree: MetricTree, pairs: np.ndarray, which: Which) -> np.ndarray:
    """Probability that each pair is of one label, float (P,)."""
    rows, places = np.unique(pairs, return_inverse=True)
    places = places.reshape(pairs.shape)
    images = tree.references.rows(rows)
    totals = tree.total_distances(images, images, which)[places[:, 0], places[:, 1]]
    return expit(tree.similarities[which].offset - totals)


_EDIT = ["edit_id", "label", "attributes", "direction", "operator", "nodes", "recolored_nodes"]
_EDIT += ["host_id", "donor_id"]
_GATES = ["accepted", "reason", *(column.name for column in GATE_COLUMNS)]


def sample_examples(store: Store, accepted: bool, per_kind: int = 1) -> pd.DataFrame:
    """A few samples of every kind, of accepted ones the most frequent kind first.

    A kind is a direction and operator of accepted samples, a reason of refused ones. Groups, hosts
    and donors that are not shown yet have priority, then what the critic finds least edited, then
    what was tried first.

    Returns
    -------
    DataFrame
        Columns of `recombined_samples` without masks and size; `image` holds the encoded bytes.
    """
    data = ds.dataset(store.recombined_samples, format="parquet")
    wanted = ds.field("accepted") == accepted
    # Tables of an earlier minor version have no critic.
    critic = [name for name in ("critic",) if name in data.schema.names]
    table = data.to_table(columns=[*_EDIT, *_GATES, *critic], filter=wanted).to_pandas()
    table["critic"] = table["critic"] if critic else np.nan
    by = ["direction", "operator"] if accepted else ["reason"]
    table["group"] = [group_of(row.label, row.attributes) for row in table.itertuples()]
    kinds = sorted(
        table.groupby(by),
        key=lambda kind: (-len(kind[1]) * accepted, *map(_order, kind[0]), kind[0]),
    )
    shown: Counter[str] = Counter()
    chosen: list[int] = []
    for _, own in kinds:
        for _ in range(per_kind):
            rest = own[~own.index.isin(chosen)]
            if rest.empty:
                break
            seen = [
                (
                    shown[r.group],
                    shown[r.host_id] + shown[r.donor_id],
                    # Unknown in a table of few samples.
                    -r.critic if pd.notna(r.critic) else -0.5,
                )
                for r in rest.itertuples()
            ]
            row = int(rest.index[min(range(len(seen)), key=seen.__getitem__)])
            chosen.append(row)
            shown.update(table.loc[row, ["group", "host_id", "donor_id"]])
    kept = table.loc[chosen].reset_index(drop=True)
    wanted_ids = pa.array(kept["edit_id"], pa.string())
    images = data.to_table(
        columns=["edit_id", "image"], filter=ds.field("edit_id").isin(wanted_ids)
    ).to_pylist()
    by_id = {row["edit_id"]: row["image"]["bytes"] for row in images}
    return kept.assign(image=[by_id[edit] for edit in kept["edit_id"]])


def _order(word: str) -> int:
    """Place of a direction or operator in its contract; other words first."""
    known = (*DIRECTIONS, *(operator.name for operator in OPERATORS))
    return known.index(word) if word in known else -1
