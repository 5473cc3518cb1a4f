"""Weights that make marks of recombination independent of the label.

Rows of one attribute value look more or less recombined, and the share of those that do may differ
between labels: then a classifier can learn the mark instead of the label. So each row is weighed by
the inverse of how much more often its label shows such a score than labels do on average (inverse
propensity weights: Rosenbaum & Rubin, Biometrika 1983), within bounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from data_contracts import RECOMBINED_SAMPLES
from heml.audit.mark_scores import MarkedRow, mark_scores
from heml.dataset.group_reader import Group, GroupReader
from heml.dataset.selection import RowWeights, Selection, descends
from heml.images.groups import MISSING
from heml.images.images_table import iterate_images
from heml.images.revoked import Revoked
from heml.storage.sharded_parquet import ShardedTable
from heml.storage.store import Store

#: With fewer recombined rows nothing is balanced: their scores say too little.
FEWEST = 100
#: Bins of the score, and rows of the rarest label that each needs.
BINS, LEAST_ROWS = 8, 20
#: A row's weight changes at most by this factor.
MOST = 4.0
#: Rows that are read together.
_READ = 64


@dataclass
class MarkBalance:
    """Factors of the train rows' weights.

    Parameters
    ----------
    factors : dict of str to float
        By row id; 1 for rows that are not in it.
    means : dict of (Group, bool) to float
        Mean factor of a group's real (False) and recombined rows.
    """

    factors: dict[str, float] = field(default_factory=dict)
    means: dict[tuple[Group, bool], float] = field(default_factory=dict)

    def weighed(self, group: Group, weights: RowWeights) -> RowWeights:
        """A group's mean weights with the factors in them."""
        return RowWeights(
            weights.real * self.means.get((group, False), 1.0),
            weights.recombined * self.means.get((group, True), 1.0),
        )


def recombined_id(edit_id: str) -> str:
    """The row id of a recombined sample."""
    return f"recombined-{edit_id.removeprefix('edit-')}"


def balance_marks(
    store: Store, groups: GroupReader, selection: Selection, revoked: Revoked
) -> MarkBalance:
    """Factors for the rows of a selection; none where weights are not used, or rows are few.

    Parameters
    ----------
    store : Store
    groups : GroupReader
    selection : Selection
    revoked : Revoked
    """
    if not selection.by_origin or selection.recombined.total() < FEWEST:
        return MarkBalance()
    count = selection.real.total() + selection.recombined.total()
    group_of: dict[str, tuple[Group, bool]] = {}

    def rows() -> Iterator[MarkedRow]:
        columns = list(dict.fromkeys([*groups.columns, "image"]))
        for batch in iterate_images(store, columns, _READ):
            for row in batch.to_pylist():
                name, group = row["image_id"], groups.group(row)
                if row["split"] != "train" or MISSING in group or name in revoked:
                    continue
                if name not in selection.surplus:
                    group_of[name] = group, False
                    yield MarkedRow(name, name, False, row["image"]["bytes"])
        columns = ["accepted", "edit_id", "label", "attributes", "host_id", "donor_id", "image"]
        table = ShardedTable(store.recombined_samples, RECOMBINED_SAMPLES)
        for batch in table.batches(columns, _READ):
            for row in batch.to_pylist():
                if row["accepted"] and not descends(row, revoked):
                    name = recombined_id(row["edit_id"])
                    group_of[name] = (row["label"], *row["attributes"]), True
                    yield MarkedRow(name, row["host_id"], True, row["image"]["bytes"])

    scores = mark_scores(rows, count)
    weights = selection.weights()
    ids = list(scores)
    own = [group_of[name] for name in ids]
    masses = np.array(
        [weights[group].recombined if made else weights[group].real for group, made in own]
    )
    found = balancing_factors(
        np.array([scores[name] for name in ids]), [group for group, _ in own], masses
    )
    means: defaultdict[tuple[Group, bool], list[float]] = defaultdict(list)
    for key, factor in zip(own, found, strict=True):
        means[key].append(float(factor))
    return MarkBalance(
        dict(zip(ids, found.tolist(), strict=True)),
        {key: float(np.mean(values)) for key, values in means.items()},
    )


def balancing_factors(scores: np.ndarray, groups: list[Group], masses: np.ndarray) -> np.ndarray:
    """What each row's weight is multiplied by, float array (N,).

    Afterwards labels have the same distribution of scores among the rows of an attribute value, as
    far as `MOST` lets them; every group keeps its mass.

    Parameters
    ----------
    scores : float array (N,)
    groups : list of Group
        Label, then attribute values.
    masses : float array (N,)
        Weights so far.
    """
    factors = np.ones(len(scores))
    strata: defaultdict[Group, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, group in enumerate(groups):
        strata[group[1:]][group[0]].append(place)
    for labels in strata.values():
        rows = {label: np.array(places) for label, places in labels.items()}
        fewest = min(len(places) for places in rows.values())
        bins = min(BINS, fewest // LEAST_ROWS)
        if len(rows) < 2 or bins < 2:
            continue
        together = np.concatenate(list(rows.values()))
        edges = np.quantile(scores[together], np.linspace(0, 1, bins + 1)[1:-1])
        shares = {}
        for label, places in rows.items():
            filled = np.bincount(np.searchsorted(edges, scores[places]), masses[places], bins)
            # As if one more row had been spread over the bins: an empty one is not impossible.
            filled = filled + masses[places].mean() / bins
            shares[label] = filled / filled.sum()
        wanted = np.mean(list(shares.values()), axis=0)
        for label, places in rows.items():
            ratio = np.clip(wanted / shares[label], 1 / MOST, MOST)
            own = ratio[np.searchsorted(edges, scores[places])]
            factors[places] = own * masses[places].sum() / (own * masses[places]).sum()
    return factors


def described(balance: MarkBalance) -> dict[str, float]:
    """How much the factors change, for the summary."""
    values = np.array(list(balance.factors.values()) or [1.0])
    return {
        "rows": len(balance.factors),
        "least_factor": round(float(values.min()), 4),
        "most_factor": round(float(values.max()), 4),
        # Kish's effective sample size over the size: what unequal weights cost.
        "effective_share": round(float(values.sum() ** 2 / (values**2).sum() / len(values)), 4),
    }
