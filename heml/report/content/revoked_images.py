"""The report shows no image that was revoked: tables that still hold one have to be made again."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from heml.images.revoked import read_revoked
from heml.storage.store import Store


class RevokedImagesError(ValueError):
    """A table that the report shows images of still holds a revoked one."""


def refuse_revoked(store: Store, index: pd.DataFrame) -> None:
    """Checks images and recombined samples against the revoked images.

    Parameters
    ----------
    store : Store
    index : DataFrame
        Of the images, with column `image_id`.

    Raises
    ------
    RevokedImagesError
        If one of them is a revoked image, or has one as host or donor.
    """
    revoked = set(read_revoked(store).images)
    if not revoked:
        return
    stale = ["images"] if revoked & set(index["image_id"]) else []
    ids = pa.array(sorted(revoked), pa.string())
    samples = ds.dataset(store.recombined_samples, format="parquet")
    if samples.count_rows(filter=ds.field("host_id").isin(ids) | ds.field("donor_id").isin(ids)):
        stale.append("recombined_samples")
    if stale:
        raise RevokedImagesError(
            f"{' and '.join(stale)} still hold revoked images; run the recipe again before the "
            "report is written"
        )
