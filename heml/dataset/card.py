"""The dataset card: YAML that the Hugging Face libraries read, and measured facts in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from data_contracts import REBALANCED_DATASET
from heml.dataset import fact_sentences
from heml.dataset.dataset_facts import DatasetFacts
from heml.dataset_folder.features import card_features, class_names
from heml.parts.wording import percent

#: Bounds of the size categories of dataset cards.
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def dataset_card(facts: DatasetFacts, files: Sequence[Path]) -> str:
    """The content of the dataset's README.md.

    Parameters
    ----------
    facts : DatasetFacts
    files : sequence of pathlib.Path
        The Parquet files.
    """
    schema = pq.read_schema(files[0])
    environment = Environment(
        loader=PackageLoader("heml", "dataset/templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = percent
    environment.filters["group"] = _group
    return environment.get_template("card.md.j2").render(
        header=yaml.safe_dump(_header(facts, schema, files), sort_keys=False, allow_unicode=True),
        facts=facts,
        weighing=fact_sentences.weighing(facts),
        biases=list(fact_sentences.biases(facts)),
        manipulation=list(fact_sentences.manipulation(facts)),
        effect=list(fact_sentences.effect(facts)),
        limitations=list(fact_sentences.limitations(facts)),
        annotation=fact_sentences.annotation(facts),
        columns=_columns(schema),
        classes=class_names(schema),
    )


def _header(facts: DatasetFacts, schema: pa.Schema, files: Sequence[Path]) -> dict[str, Any]:
    rows = facts.rows_by_split
    stored = {split: _bytes(files, split) for split in rows}
    size = next((name for limit, name in _SIZES if facts.summary["rows"] < limit), "n>1M")
    return {
        "pretty_name": f"{facts.name}, rebalanced",
        "license": "other" if facts.licence else "unknown",
        **({"license_name": facts.licence} if facts.licence else {}),
        "task_categories": ["image-classification"],
        "size_categories": [size],
        "tags": ["heml", "debiased", "croissant"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": s, "path": f"data/{s}-*.parquet"} for s in rows],
            }
        ],
        "dataset_info": {
            "features": card_features(schema),
            "splits": [
                {"name": s, "num_bytes": stored[s], "num_examples": n} for s, n in rows.items()
            ],
            "download_size": sum(file.stat().st_size for file in files),
            "dataset_size": sum(stored.values()),
        },
    }


def _bytes(files: Sequence[Path], split: str) -> int:
    """Bytes of a split's rows before compression."""
    own = (file for file in files if file.name.startswith(f"{split}-"))
    # One footer at a time: of many rows they are large.
    return sum(
        footer.row_group(attribute).total_byte_size
        for footer in map(pq.read_metadata, own)
        for attribute in range(footer.num_row_groups)
    )


def _columns(schema: pa.Schema) -> list[tuple[str, str]]:
    """Columns with their meaning, the input's own first."""
    ours = REBALANCED_DATASET.column_names
    order = sorted(schema, key=lambda field: field.name in ours and field.name != "image_id")
    return [
        (field.name, (field.metadata or {}).get(b"description", b"").decode()) for field in order
    ]


def _group(text: object) -> str:
    """Text that may stand in a table of Markdown, whatever the input holds."""
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
