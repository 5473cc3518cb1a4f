"""What a plan would make, in a few lines for the terminal. Everything is read from the store."""

from collections.abc import Iterator

import pandas as pd

from data_contracts.rebalance_plan import REASONS
from heml.parts.wording import plural
from heml.recombination.operator import OPERATORS
from heml.storage.store import Store
from pipelines.cli.tables import text_table

#: Groups in the table; the store has all.
MOST_GROUPS = 40


def plan_lines(store: Store) -> Iterator[str]:
    """Groups with what they would reach, how, and what cannot be reached and why.

    Parameters
    ----------
    store : Store
        With a finished plan.
    """
    summary = store.summary("rebalance_plan")
    groups = pd.read_parquet(store.planned_groups)
    yield ""
    yield (
        f"Plan: {plural(summary['would_make'], 'image', 'images')} would be made of "
        f"{summary['hosts']} hosts and {summary['donors']} donors, by "
        f"{plural(summary['edits'], 'edit', 'edits')} including spare ones; nothing was changed"
    )
    shown = groups.head(MOST_GROUPS)
    yield from text_table(
        ["group", "real", "target", "to make", "within group", "would reach", "why not the target"],
        [
            [
                str(row["group"]),
                str(row["n_real"]),
                str(row["n_target"]),
                str(row["n_balancing"]),
                str(row["n_within_group"]),
                str(row["n_reached"]),
                REASONS[row["reason"]] if row["reason"] else "",
            ]
            for row in shown.to_dict("records")
        ],
    )
    if len(groups) > len(shown):
        yield f"  and {len(groups) - len(shown)} more groups: {store.planned_groups}"
    yield ""
    for attribute, nodes in summary["attribute_nodes"].items():
        how = (
            " (its presence is the attribute)"
            if attribute in summary["presence_attributes"]
            else ""
        )
        yield (
            f"  {attribute} is moved with {nodes}{how}"
            if nodes
            else f"  {attribute} cannot be moved"
        )
    yield f"  the label is moved with {summary['label_nodes'] or 'no segment'}"
    operators = [f"{OPERATORS[name].words} {count}" for name, count in summary["operators"].items()]
    yield f"  edits: {', '.join(operators) or 'none'}"
    by_label = [f"{label} {count}" for label, count in summary["recombined_by_label"].items()]
    yield f"  recombined by label: {', '.join(by_label) or 'none'}"
    for name, note in summary["notes"].items():
        yield f"  {name}: {note}"
    for remark in summary["remarks"]:
        yield f"  note: {remark}"
    yield ""
    yield f"Plan     {store.rebalance_plan}"
    yield f"Groups   {store.planned_groups}"
