"""Settings of the dataset: how it is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from heml.dataset.export_format import EXPORTS
from heml.parts.registered_name import RegisteredName
from heml.parts.settings import Settings


class DatasetSettings(Settings):
    """How the rebalanced dataset is written, and in which other formats too."""

    surplus: Literal["weight", "drop"] = Field(
        "weight",
        description="Real train rows too many for their group: weigh them down, or leave them out.",
    )
    shard_mb: int = Field(
        400, ge=1, le=4000, description="A Parquet file ends at this size, in MB of images."
    )
    exports: list[Annotated[str, RegisteredName(EXPORTS)]] = Field(
        default=[], description="Formats to write beside the Parquet files, into exports/."
    )
