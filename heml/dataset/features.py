"""Column types of the dataset, as Arrow schema and as Hugging Face features, from one contract."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from data_contracts import REBALANCED_DATASET, Column, Contract

#: Where columns of the input go if ours have their name.
CLASH_PREFIX = "input_"


def output_names(input_columns: list[str]) -> dict[str, str]:
    """Input column → its name in the dataset."""
    ours = set(REBALANCED_DATASET.column_names)
    return {name: CLASH_PREFIX + name if name in ours else name for name in input_columns}


def dataset_contract(input_columns: list[str]) -> Contract:
    """The contract with the input's columns after the image."""
    names = output_names(input_columns)
    extra = [
        Column(names[name], pa.string(), f"The input's column '{name}'.", nullable=True)
        for name in input_columns
    ]
    return REBALANCED_DATASET.with_columns(extra)


def hugging_face_features(schema: pa.Schema) -> dict[str, Any]:
    """Features as the `datasets` library stores them in Arrow metadata."""
    return {
        field.name: {"_type": "Image"} if field.name == "image" else _feature(field.type)
        for field in schema
    }


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {kind.field(i).name: _feature(kind.field(i).type) for i in range(kind.num_fields)}
    names = {"float": "float32", "double": "float64"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}


def with_features(schema: pa.Schema) -> pa.Schema:
    """The schema with the features in its metadata, where `datasets` looks for them."""
    content = {"info": {"features": hugging_face_features(schema)}}
    metadata = {**(schema.metadata or {}), b"huggingface": json.dumps(content).encode()}
    return schema.with_metadata(metadata)
