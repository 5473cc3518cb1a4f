"""Bias scores over the measurements of a store: keeping them, and what changed since the last.

No clock: measurements are counted, so that the same runs give the same bytes.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts import BIAS_HISTORY, ContractError
from heml.images.groups import TIMES
from heml.storage.atomic_write import write_aside
from heml.storage.store import Store


def remember_scores(
    store: Store, scores: pd.DataFrame, label: str, images: str, fingerprint: str
) -> str | None:
    """Adds a measurement to `store.bias_history`.

    Measuring the same thing again right after replaces the measurement: a run that was killed in
    between leaves no second one.

    Parameters
    ----------
    scores : DataFrame
        Rows of the `bias_scores` contract.
    label : str
        Column of the label.
    images : str
        Hash of all accepted image records.
    fingerprint : str
        Of everything that the scores rest on.

    Returns
    -------
    str or None
        What happened to an unreadable history; None if it was none.
    """
    note = None
    try:
        before = read_history(store)
    except (pa.ArrowException, ContractError, OSError) as error:
        aside = store.bias_history.with_name("bias_history.unreadable.parquet")
        store.bias_history.replace(aside)
        before = _empty()
        note = f"the earlier scores cannot be read ({error}): a new history was begun, see {aside}"
    last = int(before["measurement"].max()) if len(before) else 0
    if last and (before.loc[before["measurement"] == last, "fingerprint"] == fingerprint).all():
        last -= 1
        before = before[before["measurement"] <= last]
    given: dict[str, Any] = {
        "measurement": last + 1,
        "fingerprint": fingerprint,
        "images": images,
        "label": label,
    }
    columns = [name for name in BIAS_HISTORY.column_names if name not in given]
    new = scores[columns].assign(**given)[list(BIAS_HISTORY.column_names)]
    history = pd.concat([before, new], ignore_index=True) if len(before) else new
    BIAS_HISTORY.validate(history)
    with write_aside(store.bias_history) as path:
        pq.write_table(BIAS_HISTORY.table(history), path)
    return note


def read_history(store: Store) -> pd.DataFrame:
    """All measurements, oldest first; no rows if there was none.

    Raises
    ------
    ContractError
        If the table is another one.
    """
    if not store.bias_history.exists():
        return _empty()
    with pq.ParquetFile(store.bias_history) as file:
        BIAS_HISTORY.check_version(file.schema_arrow)
        return file.read().to_pandas()


def score_changes(history: pd.DataFrame) -> pd.DataFrame:
    """Every node and attribute of the last measurement beside the one before it.

    Returns
    -------
    DataFrame
        Rows of the last measurement, with `score_before`, `score_low_before`,
        `score_high_before`, `change`, and `same_images`: whether both judged the same records.
        Empty without an earlier measurement of the same label, node and attribute.
    """
    if not len(history):
        return history.assign(change=[], same_images=[])
    last = history["measurement"] == history["measurement"].max()
    now, earlier = history[last], history[~last]
    earlier = earlier[earlier["label"].isin(now["label"])]
    keys = ["node", "attribute"]
    # The last time that this node was judged for this attribute: recipes change.
    earlier = earlier.drop_duplicates(keys, keep="last")
    kept = [*keys, "images", "score", "score_low", "score_high"]
    joined = now.merge(earlier[kept], on=keys, suffixes=("", "_before"))
    return joined.assign(
        change=joined["score"] - joined["score_before"],
        same_images=joined["images"] == joined["images_before"],
    )


def scores_over_measurements(history: pd.DataFrame, most: int = 8) -> list[dict[str, object]]:
    """Scores of leaves and single attributes, a row each, a column for each of the last
    measurements.

    Parameters
    ----------
    most : int, default 8
        Measurements to show.
    """
    leaves = history[(history["kind"] == "leaf") & ~history["attribute"].str.contains(TIMES)]
    if not len(leaves):
        return []
    leaves = leaves[leaves["measurement"] > history["measurement"].max() - most]
    table = leaves.pivot_table(
        index=["attribute", "node"], columns="measurement", values="score", dropna=False, sort=False
    )
    rows = []
    for (attribute, node), values in table.iterrows():
        groups = {f"#{n}": None if pd.isna(v) else round(float(v), 4) for n, v in values.items()}
        rows.append({"node": node, "attribute": attribute, **groups})
    return rows


def _empty() -> pd.DataFrame:
    return BIAS_HISTORY.schema().empty_table().to_pandas()
