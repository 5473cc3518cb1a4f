"""docs/tables.md: every table with its columns, from the contracts."""

from __future__ import annotations

from collections.abc import Iterator

import data_contracts
from data_contracts import Column, Contract
from pipelines.reference.markdown import table

_HEAD = """\
# Tables

Every table is Parquet with zstd. Its schema carries the name and version of its contract, and the
description of every column. Contracts are checked after every stage; readers accept any table of
the same major version. Columns of the input appear in internal tables under the prefix `input.`.
"""


def table_reference() -> str:
    """The page: one section per contract, by name."""
    found = (value for value in vars(data_contracts).values() if isinstance(value, Contract))
    contracts = sorted(found, key=lambda contract: contract.name)
    return "\n".join([_HEAD, *(_section(contract) for contract in contracts)])


def _section(contract: Contract) -> str:
    lines = [f"## {contract.name}", "", f"{contract.description} Version {_version(contract)}.", ""]
    if contract.unique_together:
        lines += [f"Unique together: {', '.join(contract.unique_together)}.", ""]
    rows = [
        [f"`{c.name}`", f"`{c.type}`", c.description, ", ".join(_rules(c))]
        for c in contract.columns
    ]
    return "\n".join([*lines, *table(["column", "type", "meaning", "rules"], rows), ""])


def _version(contract: Contract) -> str:
    return ".".join(map(str, contract.version))


def _rules(column: Column) -> Iterator[str]:
    if column.nullable:
        yield "may be null"
    if column.unique:
        yield "unique"
    if column.at_least is not None:
        yield f"≥ {column.at_least:g}"
    if column.at_most is not None:
        yield f"≤ {column.at_most:g}"
    if isinstance(column.among, data_contracts.Vocabulary):
        yield f"one of the [{column.among.kind}](parts.md)"
    elif column.among is not None:
        yield "one of " + ", ".join(f"`{word}`" for word in column.among)
