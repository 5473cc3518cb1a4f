"""What a plan would make, in a few lines for the terminal. Everything is read from the store."""

from collections.abc import Iterator

import pandas as pd

from data_contracts.rebalance_plan import REASONS
from heml.parts.wording import OPERATOR_WORDS, plural
from heml.storage.store import Store
from pipelines.cli.run_summary import text_table

#: Cells in the table; the store has all.
MOST_CELLS = 40


def plan_lines(store: Store) -> Iterator[str]:
    """Cells with what they would reach, how, and what cannot be reached and why.

    Parameters
    ----------
    store : Store
        With a finished plan.
    """
    summary = store.summary("rebalance_plan")
    cells = pd.read_parquet(store.planned_cells)
    yield ""
    yield (
        f"Plan: {plural(summary['would_make'], 'image', 'images')} would be made of "
        f"{summary['hosts']} hosts and {summary['donors']} donors, by "
        f"{plural(summary['edits'], 'edit', 'edits')} with spares; nothing was changed"
    )
    shown = cells.head(MOST_CELLS)
    yield from text_table(
        ["cell", "real", "target", "to make", "controls", "would reach", "why not the target"],
        [
            [
                str(row["cell"]),
                str(row["n_real"]),
                str(row["n_target"]),
                str(row["n_fill"]),
                str(row["n_control"]),
                str(row["n_reached"]),
                REASONS[row["reason"]] if row["reason"] else "",
            ]
            for row in shown.to_dict("records")
        ],
    )
    if len(cells) > len(shown):
        yield f"  and {len(cells) - len(shown)} more cells: {store.planned_cells}"
    yield ""
    for group, nodes in summary["group_carriers"].items():
        how = " (its presence is the group)" if group in summary["presence_groups"] else ""
        yield f"  {group} is moved with {nodes}{how}" if nodes else f"  {group} cannot be moved"
    yield f"  the label is moved with {summary['label_carriers'] or 'no segment'}"
    operators = [f"{OPERATOR_WORDS[name]} {count}" for name, count in summary["operators"].items()]
    yield f"  edits: {', '.join(operators) or 'none'}"
    by_label = [f"{label} {count}" for label, count in summary["recombined_by_label"].items()]
    yield f"  recombined by label: {', '.join(by_label) or 'none'}"
    for name, note in summary["notes"].items():
        yield f"  {name}: {note}"
    for remark in summary["remarks"]:
        yield f"  note: {remark}"
    yield ""
    yield f"Plan     {store.rebalance_plan}"
    yield f"Cells    {store.planned_cells}"
