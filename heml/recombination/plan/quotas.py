"""Explicit quotas: how many records single groups are to have, as the recipe names them.

A quota names its group by nesting: the label's value, then the value of every attribute in the
recipe's order. What stands there is a number of records (`200`) or a share of the train split as it
will be (`25%`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from heml.recombination.rebalance_settings import Quotas
from heml.taxonomy import nearest

#: Location below `quotas`: label value, then attribute values.
Path = tuple[str, ...]


class QuotaError(ValueError):
    """Quotas name what the data do not have; the message names key and nearest valid value."""


def flat_quotas(quotas: Quotas) -> dict[Path, int | float]:
    """Quotas by their location, deepest keys last: int is records, float a share in [0, 1]."""
    return dict(_leaves(quotas.quotas, ()))


def _leaves(tree: Mapping[str, Any], above: Path) -> Iterator[tuple[Path, int | float]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def quota_problems(
    quotas: Quotas, label_name: str, attributes: Sequence[str]
) -> Iterator[tuple[Path, str]]:
    """What is wrong with quotas whatever the data hold: (location, sentence) pairs."""
    columns = [label_name, *attributes]
    named = flat_quotas(quotas)
    for path in named:
        if len(path) != len(columns):
            nesting = " → ".join(f"value of {column}" for column in columns)
            found = f"{len(path)} value{'' if len(path) == 1 else 's'}"
            yield path, f"a group is named by {nesting}, then its quota; found {found}"
    shares = sum(value for value in named.values() if isinstance(value, float))
    if shares > 1 + 1e-9:
        yield (), f"the shares add up to {shares:.0%}; at most 100% can be given away"


def check_values(
    quotas: Quotas, label_name: str, attributes: Sequence[str], known: Sequence[Sequence[str]]
) -> None:
    """Refuses quotas of values that no train record has.

    Parameters
    ----------
    known : sequence of sequences of str
        Values of the label, then of every attribute, in the train split.

    Raises
    ------
    QuotaError
        With the key and the nearest value.
    """
    problems = [
        f"rebalance.target.quotas.{'.'.join(path)}: {sentence}"
        for path, sentence in quota_problems(quotas, label_name, attributes)
    ]
    for path in flat_quotas(quotas):
        for depth, (column, values) in enumerate(
            zip((label_name, *attributes), known, strict=True), start=1
        ):
            if len(path) >= depth and path[depth - 1] not in values:
                problems.append(
                    f"rebalance.target.quotas.{'.'.join(path[:depth])}: no train record has "
                    f"{column} '{path[depth - 1]}'; {nearest(path[depth - 1], values)}"
                )
    if problems:
        raise QuotaError("; ".join(dict.fromkeys(problems)))


def quota_targets(groups: pd.DataFrame, quotas: Quotas) -> np.ndarray:
    """Records that every group is to have.

    Groups without a quota keep what they have. Shares are of the smallest train split in which they
    hold without taking a real record away.

    Parameters
    ----------
    groups : DataFrame
        Columns label, attributes and n.

    Returns
    -------
    float array (groups,)
        A quota below what a group has stays below: the plan says that it cannot be met.
    """
    named = flat_quotas(quotas)
    n = groups["n"].to_numpy(float)
    keys = [(str(c["label"]), *map(str, c["attributes"])) for c in groups.to_dict("records")]
    given = [named.get(key) for key in keys]
    share = np.array([value if isinstance(value, float) else 0.0 for value in given])
    shared = np.array([isinstance(value, float) for value in given])
    targets = np.array(
        [float(g) if isinstance(g, int) else own for g, own in zip(given, n, strict=True)]
    )
    if not shared.any():
        return targets
    # Real records above a count stay, so they are part of what the shares divide.
    fixed = np.maximum(targets, n)[~shared].sum()
    left = 1 - share.sum()
    least = max((n[shared & (share > 0)] / share[shared & (share > 0)]).max(initial=0.0), n.sum())
    total = max(fixed / left, least) if left > 1e-9 else least
    return np.where(shared, share * total, targets)
