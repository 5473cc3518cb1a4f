"""The rebalance plan: for each missing sample a host, a donor, the nodes and the operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from data_contracts import PLANNED_CELLS, REBALANCE_PLAN
from heml.images import image_index
from heml.progress import Progress
from heml.recombination.cells import wanted_samples
from heml.recombination.layout import Layouts, read_layouts
from heml.recombination.roles import Roles, find_roles
from heml.settings import RebalanceSettings
from heml.stage import Outcome, run_stage
from heml.store import Store, fingerprint, write_aside
from heml.taxonomy import BACKGROUND, Taxonomy

VERSION = 2
#: Edits planned per wanted sample: gates refuse some.
SPARES = 2.0
#: Donors are drawn among the best-matching share, at least this many.
NEAREST_SHARE, NEAREST_LEAST = 0.25, 8
#: Leaves that fill more than this share of the image leave holes too large to fill well: they are
#: transplanted only where nothing else reaches the cell.
LARGE = 0.04


def make_plan(
    store: Store,
    taxonomy: Taxonomy,
    label_name: str,
    groups: Sequence[str],
    settings: RebalanceSettings,
    progress: Progress,
) -> Outcome:
    """Writes `store.rebalance_plan` and `store.planned_cells`. No pixel is touched."""
    key = fingerprint(
        VERSION,
        label_name,
        list(groups),
        settings.model_dump(),
        store.fingerprint("bias_scores"),
        store.summary("segments")["content"],
    )

    def compute() -> tuple[dict[str, Any], list[Path]]:
        index = image_index(store, list(groups))
        train = index[index["split"] == "train"].reset_index(drop=True)
        roles = find_roles(pd.read_parquet(store.bias_scores), train["label"].nunique())
        cells = wanted_samples(pd.read_parquet(store.coverage), settings)
        layouts = read_layouts(store, taxonomy, train["image_id"].tolist())
        planner = Planner(train, groups, roles, layouts, settings)
        edits, planned = planner.plan(cells)
        outputs = [store.rebalance_plan, store.planned_cells]
        for contract, frame, path in zip(
            (REBALANCE_PLAN, PLANNED_CELLS), (edits, planned), outputs, strict=True
        ):
            with write_aside(path) as aside:
                pq.write_table(contract.table(frame), aside)
        summary = _describe(edits, planned, roles)
        progress(f"rebalance_plan: {summary['words']}")
        return summary, outputs

    return run_stage(store, "rebalance_plan", key, compute, progress)


class Planner:
    """Chooses hosts, donors, nodes and operators for the cells of a train split.

    Parameters
    ----------
    train : DataFrame
        Columns image_id, label and the groups; rows as in `layouts`.
    groups : sequence of str
    roles : Roles
    layouts : Layouts
    settings : RebalanceSettings
    """

    def __init__(
        self,
        train: pd.DataFrame,
        groups: Sequence[str],
        roles: Roles,
        layouts: Layouts,
        settings: RebalanceSettings,
    ) -> None:
        self._train = train
        self._groups = list(groups)
        self._roles = roles
        self._layouts = layouts
        self._settings = settings
        self._rng = np.random.default_rng(settings.seed)
        self._labels = train["label"].to_numpy(str)
        self._values = train[self._groups].astype(str).to_numpy(object)
        self._used: Counter[tuple[str, int]] = Counter()
        self._edits: list[dict[str, Any]] = []

    def plan(self, cells: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Edits and planned cells, as their contracts say.

        Parameters
        ----------
        cells : DataFrame
            As `wanted_samples` returns.
        """
        planned = []
        for cell in cells.to_dict("records"):
            label, values = str(cell["label"]), np.array(cell["groups"], dtype=object)
            notes = []
            made = 0
            if cell["deficit"]:
                made, note = self._fill(cell["cell"], label, values, int(cell["deficit"]))
                notes.append(note)
            if cell["controls"]:
                controls, note = self._control(cell["cell"], label, values, int(cell["controls"]))
                made += controls
                notes.append(note)
            planned.append(
                {
                    "cell": cell["cell"],
                    "label": label,
                    "groups": list(values),
                    "n_real": int(cell["n"]),
                    "n_target": int(cell["n_target"]),
                    "n_wanted": int(cell["deficit"] + cell["controls"]),
                    "n_planned": made,
                    "note": "; ".join(note for note in notes if note),
                }
            )
        edits = pd.DataFrame(self._edits, columns=REBALANCE_PLAN.column_names)
        return edits, pd.DataFrame(planned)

    def _fill(self, cell: str, label: str, values: np.ndarray, wanted: int) -> tuple[int, str]:
        """Edits that bring label and groups together that seldom meet."""
        same_label = self._labels == label
        same_groups = (self._values == values).all(axis=1)
        ways = []
        carriers = {g: self._roles.group_carriers.get(g, ()) for g in self._groups}
        if same_label.any() and all(carriers.values()):
            ways.append(("group_onto_host", np.flatnonzero(same_label & ~same_groups)))
        if same_groups.any() and self._roles.label_carriers:
            ways.append(("label_onto_donor", np.flatnonzero(same_groups & ~same_label)))
        ways = [(direction, hosts) for direction, hosts in ways if len(hosts)]
        if not ways:
            return 0, self._why_not(same_label, same_groups, carriers)
        for large in (False, True):
            made = self._fill_by(ways, carriers, cell, label, values, wanted, large)
            if made:
                break
        return made, "" if made >= wanted else "fewer donors than wanted within their share"

    def _fill_by(
        self,
        ways: list[tuple[str, np.ndarray]],
        carriers: dict[str, tuple[str, ...]],
        cell: str,
        label: str,
        values: np.ndarray,
        wanted: int,
        large: bool,
    ) -> int:
        """Edits in turn over the directions, with transplants of large leaves or without."""
        made = 0
        same_label = self._labels == label
        for number in range(int(np.ceil(wanted * SPARES * len(ways)))):
            direction, hosts = ways[number % len(ways)]
            host = int(self._rng.choice(hosts))
            if direction == "group_onto_host":
                differing = [g for g, have in enumerate(self._values[host] == values) if not have]
                nodes = list(dict.fromkeys(n for g in differing for n in carriers[self._groups[g]]))
                donors = np.flatnonzero((self._values[:, differing] == values[differing]).all(1))
            else:
                nodes = list(self._roles.label_carriers)
                donors = np.flatnonzero(same_label)
            made += self._edit(cell, label, values, direction, host, donors, nodes, wanted, large)
            if made >= wanted * SPARES:
                break
        return made

    def _control(self, cell: str, label: str, values: np.ndarray, wanted: int) -> tuple[int, str]:
        """Edits between two images of the cell, of the same kinds as the others."""
        members = np.flatnonzero((self._labels == label) & (self._values == values).all(axis=1))
        if len(members) < 2:
            return 0, "no controls: they need two records of the cell"
        sets = [list(n) for n in self._roles.group_carriers.values() if n]
        if self._roles.label_carriers:
            sets.append(list(self._roles.label_carriers))
        if not sets:
            return 0, "no controls: no leaf carries the group or the label"
        made = 0
        for number in range(int(np.ceil(wanted * SPARES))):
            host = int(self._rng.choice(members))
            nodes = sets[number % len(sets)]
            made += self._edit(
                cell, label, values, "control", host, members, nodes, wanted, large=False
            )
        return made, "" if made >= wanted else "fewer donors than wanted within their share"

    def _why_not(
        self, same_label: np.ndarray, same_groups: np.ndarray, carriers: dict[str, tuple[str, ...]]
    ) -> str:
        if not same_label.any() or not same_groups.any():
            return "cannot be reached: no train record has this label, or none these groups"
        missing = [group for group, nodes in carriers.items() if not nodes]
        return (
            f"cannot be reached: no leaf carries {', '.join(missing) or 'the group'} and is fooled "
            "by it, and none carries the label"
        )

    def _edit(
        self,
        cell: str,
        label: str,
        values: np.ndarray,
        direction: str,
        host: int,
        donors: np.ndarray,
        nodes: list[str],
        wanted: int,
        large: bool,
    ) -> int:
        donor = self._donor(cell, host, donors, nodes, wanted)
        if donor is None:
            return 0
        operator = self._operator(host, donor, nodes, large)
        if operator is None:
            return 0
        self._used[cell, donor] += 1
        number = len(self._edits)
        self._edits.append(
            {
                "edit_id": f"edit-{number:06d}",
                "label": label,
                "groups": list(values),
                "direction": direction,
                "operator": operator,
                "nodes": nodes,
                "host_id": self._train["image_id"].iloc[host],
                "donor_id": self._train["image_id"].iloc[donor],
                "seed": int(self._rng.integers(2**31)),
            }
        )
        return 1

    def _donor(
        self, cell: str, host: int, donors: np.ndarray, nodes: list[str], wanted: int
    ) -> int | None:
        # A scarce group has few donors: their share then grows to what an even spread needs.
        share = max(self._settings.donor_share, 2 / max(len(donors), 1))
        cap = max(int(np.ceil(share * wanted * SPARES)), 1)
        donors = np.array([d for d in donors if d != host and self._used[cell, int(d)] < cap])
        if len(donors) == 0:
            return None
        kept = [leaf for leaf in self._layouts.leaves if leaf not in nodes]
        order = np.argsort(self._layouts.mismatch(host, donors, kept), kind="stable")
        best = max(int(len(donors) * NEAREST_SHARE), NEAREST_LEAST)
        return int(self._rng.choice(donors[order[:best]]))

    def _operator(self, host: int, donor: int, nodes: list[str], large: bool) -> str | None:
        """An allowed operator that fits what host and donor have, or None."""
        in_host = any(self._layouts.present(n)[host] for n in nodes)
        in_donor = any(self._layouts.present(n)[donor] for n in nodes)
        small = large or sum(self._layouts.mean_area(node) for node in nodes) <= LARGE
        fitting = []
        if nodes == [BACKGROUND]:
            fitting.append("background")
        elif small and (in_host or in_donor):
            kinds = {(True, True): "transplant", (False, True): "insert", (True, False): "remove"}
            fitting.append(kinds[in_host, in_donor])
        # A label's segment differs in shape: its colours alone would not carry the label over.
        if in_host and in_donor and not set(nodes) & set(self._roles.label_carriers):
            fitting.append("recolour")
        allowed = [operator for operator in fitting if operator in self._settings.operators]
        if not allowed:
            return None
        # The first one twice as often: it also carries texture and shape.
        return str(self._rng.choice([allowed[0], *allowed]))


def _describe(edits: pd.DataFrame, planned: pd.DataFrame, roles: Roles) -> dict[str, Any]:
    moves = [f"{g} is moved with {', '.join(n)}" for g, n in roles.group_carriers.items() if n]
    moves.append(f"the label is moved with {', '.join(roles.label_carriers) or 'no leaf'}")
    notes = planned.loc[planned["note"] != "", ["cell", "note"]]
    return {
        "edits": len(edits),
        "wanted": int(planned["n_wanted"].sum()),
        "donors": int(edits["donor_id"].nunique()),
        "hosts": int(edits["host_id"].nunique()),
        "operators": edits["operator"].value_counts().sort_index().to_dict(),
        "directions": edits["direction"].value_counts().sort_index().to_dict(),
        "group_carriers": {g: ", ".join(nodes) for g, nodes in roles.group_carriers.items()},
        "label_carriers": ", ".join(roles.label_carriers),
        "notes": dict(notes.itertuples(index=False)),
        "words": (
            f"{planned['n_wanted'].sum()} samples wanted, {len(edits)} edits planned; "
            + "; ".join(
                f"{g} is moved with {', '.join(n)}" for g, n in roles.group_carriers.items()
            )
            + f"; the label with {', '.join(roles.label_carriers) or 'no leaf'}"
        ),
    }
