"""Taking the preview images of a recipe's earlier runs out of Dagster's event log.

Previews are part of the log, and may show images that were revoked. Counts and all other metadata
of the runs stay.
"""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import dagster as dg
import sqlalchemy as sql

#: An image in the Markdown of an event.
_IMAGE = re.compile(r"!\[[^\]]*\]\(data:image/\w+;base64,[A-Za-z0-9+/=]*\)")
_REMOVED = "removed, because images were revoked"
_MARK = "%data:image/%;base64,%"

_Connect = Callable[[], AbstractContextManager[sql.Connection]]


def redact_previews(instance: dg.DagsterInstance, recipe_name: str) -> int:
    """Removes all preview images of a recipe's assets.

    Parameters
    ----------
    instance : dagster.DagsterInstance
    recipe_name : str
        First part of the assets' keys.

    Returns
    -------
    int
        Events that showed one.

    Raises
    ------
    NotImplementedError
        If the event log is kept in no SQL database.
    """
    from dagster._core.storage.event_log import SqlEventLogStorage
    from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageTable

    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        raise NotImplementedError(
            f"{type(storage).__name__}: preview images of earlier runs cannot be removed from this "
            "event log; delete the runs in the UI"
        )
    events, keys = SqlEventLogStorageTable, AssetKeyTable
    # Keys are stored as JSON lists; the name of a recipe holds no character that LIKE knows but _.
    prefix = json.dumps([recipe_name])[:-1].replace("_", r"\_") + ",%"
    of_recipe = events.c.asset_key.like(prefix, escape="\\")
    with storage.index_connection() as connection:
        query = sql.select(events.c.run_id).distinct().where(of_recipe, events.c.event.like(_MARK))
        runs = [row[0] for row in connection.execute(query)]
    count = _redact(storage.index_connection, events.c.event, events.c.id, of_recipe)
    own_key = keys.c.asset_key.like(prefix, escape="\\")
    _redact(storage.index_connection, keys.c.last_materialization, keys.c.id, own_key)
    for run in runs:
        _redact(_of_run(storage, run), events.c.event, events.c.id, events.c.run_id == run)
    return count


def _of_run(storage: Any, run: str) -> _Connect:
    """The database of one run: a file of its own with SQLite, otherwise the same."""
    return lambda: storage.run_connection(run)


def _redact(
    connect: _Connect, text: sql.Column[Any], key: sql.Column[Any], where: sql.ColumnElement[bool]
) -> int:
    table = text.table
    with connect() as connection:
        if connection.dialect.name == "sqlite":
            # What was overwritten is not left in the file.
            connection.execute(sql.text("PRAGMA secure_delete = ON"))
        query = sql.select(key).where(where, text.like(_MARK))
        found = [row[0] for row in connection.execute(query)]
        for number in found:
            content = connection.execute(sql.select(text).where(key == number)).scalar_one()
            change = {text.name: _IMAGE.sub(_REMOVED, content)}
            connection.execute(sql.update(table).where(key == number).values(change))
    return len(found)
