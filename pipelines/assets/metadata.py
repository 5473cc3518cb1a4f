"""What the UI shows of a result: numbers (plotted over runs), tables, columns, the path."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from data_contracts import Contract
from heml.storage.store import Store

#: More rows of a table than this belong in the report.
MOST_ROWS = 30


def summary_metadata(summary: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """A stage's summary as metadata.

    Numbers stay numbers, which Dagster plots over runs; flat mappings and lists of rows become
    tables; everything else is shown as JSON.
    """
    return {key: _value(value) for key, value in summary.items() if value is not None}


def column_schema(contract: Contract) -> dict[str, dg.TableSchemaMetadataValue]:
    """The columns of a contract, as the UI's table view expects them."""
    columns = [
        dg.TableColumn(
            column.name,
            str(column.type),
            column.description,
            dg.TableColumnConstraints(
                nullable=column.nullable,
                unique=column.unique,
                other=[text for text in (_bounds(column), _words(column.words())) if text],
            ),
        )
        for column in contract.columns
    ]
    return {"dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns))}


def row_count(store: Store, stage: str) -> dict[str, int]:
    """Rows of a stage's table, under the key that Dagster plots; nothing where it has no table."""
    path = _table_of(store, stage)
    if path is None or not path.exists():
        return {}
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    return {"dagster/row_count": sum(pq.read_metadata(file).num_rows for file in files)}


def _table_of(store: Store, stage: str) -> Path | None:
    kind, _, node = stage.partition("/")
    if node:
        return store.node(node) / store.fingerprint(stage) / "embeddings.parquet"
    if kind == "rebalanced_dataset":
        return store.rebalanced_dataset / "data"
    path = getattr(store, kind, None)
    is_table = isinstance(path, Path) and (path.is_dir() or path.suffix == ".parquet")
    return path if is_table and kind != "metric_tree" else None


def location(store: Store, path: Path) -> dict[str, dg.MetadataValue[Any]]:
    """Where a result is kept: a path of this machine, or where it lies in the object store."""
    if store.remote is None:
        return {"path": dg.MetadataValue.path(str(path))}
    url = f"{store.remote.url}/{path.relative_to(store.root).as_posix()}"
    return {"url": dg.MetadataValue.url(url)}


def _bounds(column: Any) -> str:
    if column.at_least is None and column.at_most is None:
        return ""
    low = "" if column.at_least is None else f"≥ {column.at_least:g}"
    high = "" if column.at_most is None else f"≤ {column.at_most:g}"
    return " and ".join(filter(None, (low, high)))


def _words(among: Sequence[str] | None) -> str:
    return "" if among is None else "one of: " + ", ".join(among)


def _value(value: Any) -> dg.MetadataValue:
    match value:
        case bool():
            return dg.MetadataValue.bool(value)
        case int():
            return dg.MetadataValue.int(value)
        case float():
            # GraphQL has no NaN: one such number would make the whole asset page fail.
            return (
                dg.MetadataValue.float(value)
                if math.isfinite(value)
                else dg.MetadataValue.text(str(value))
            )
        case str():
            return dg.MetadataValue.text(value)
        case dict() if value and all(_is_plain(v) for v in value.values()):
            return dg.MetadataValue.md(_table(["", "value"], [[k, v] for k, v in value.items()]))
        case [dict(), *_] if all(isinstance(row, dict) for row in value):
            header = list(value[0])
            return dg.MetadataValue.md(
                _table(header, [[row.get(k) for k in header] for row in value])
            )
        case _:
            # Through text: what JSON cannot hold (NaN, dates, numpy numbers) is shown as words.
            return dg.MetadataValue.json(
                json.loads(json.dumps(value, default=str), parse_constant=str)
            )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [_row(header), _row(["---"] * len(header)), *(_row(r) for r in rows[:MOST_ROWS])]
    if len(rows) > MOST_ROWS:
        lines.append(f"\n{len(rows) - MOST_ROWS} more rows are in the table itself.")
    return "\n".join(lines)


def _row(groups: Sequence[Any]) -> str:
    return "| " + " | ".join(_group(group) for group in groups) + " |"


def _group(group: Any) -> str:
    text = f"{group:.3g}" if isinstance(group, float) else "" if group is None else str(group)
    return text.replace("|", "\\|").replace("\n", " ")
