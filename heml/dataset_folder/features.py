"""Column types of the dataset, as Arrow schema and as Hugging Face features, from one contract.

Label and attributes are stored as class numbers whose names stand in the schema metadata: as the
`datasets` library stores its `ClassLabel`. Whoever reads names inside this project reads them here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from data_contracts import REBALANCED_DATASET, Column, Contract

#: Where columns of the input go if ours have their name.
CLASH_PREFIX = "input_"
_METADATA_KEY = b"huggingface"

#: Column → names of its classes, by class number.
Classes = Mapping[str, Sequence[str]]


def output_names(input_columns: Sequence[str]) -> dict[str, str]:
    """Input column → its name in the dataset, which no other column has."""
    taken = {*REBALANCED_DATASET.column_names, *input_columns}
    names = {}
    for column in input_columns:
        name = column
        if column in REBALANCED_DATASET.column_names:
            while name in taken:
                name = CLASH_PREFIX + name
            taken.add(name)
        names[column] = name
    return names


def dataset_contract(input_columns: Sequence[str], classes: Classes | None = None) -> Contract:
    """The contract with the input's columns added.

    Parameters
    ----------
    input_columns : sequence of str
        As the input calls them.
    classes : mapping of str to sequence of str, optional
        Input columns that are stored as class numbers, with the names of the classes.
    """
    names, classes = output_names(input_columns), classes or {}
    extra = []
    for column in input_columns:
        about = f"The input's column '{column}'"
        if column in classes:
            words = ", ".join(f"{code} {name}" for code, name in enumerate(classes[column]))
            extra.append(Column(names[column], pa.int64(), f"{about}: {words}.", nullable=True))
        else:
            extra.append(Column(names[column], pa.string(), f"{about}.", nullable=True))
    return REBALANCED_DATASET.with_columns(extra)


def hugging_face_features(schema: pa.Schema, classes: Classes) -> dict[str, Any]:
    """Features as the `datasets` library stores them in Arrow metadata.

    Parameters
    ----------
    schema : pyarrow.Schema
    classes : mapping of str to sequence of str
        Columns of the schema that hold class numbers.
    """
    features: dict[str, Any] = {}
    for field in schema:
        if field.name == "image":
            features[field.name] = {"_type": "Image"}
        elif field.name in classes:
            features[field.name] = {"names": list(classes[field.name]), "_type": "ClassLabel"}
        else:
            features[field.name] = _feature(field.type)
    return features


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {kind.field(i).name: _feature(kind.field(i).type) for i in range(kind.num_fields)}
    names = {"float": "float32", "double": "float64"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}


def with_features(schema: pa.Schema, classes: Classes) -> pa.Schema:
    """The schema as files carry it: features in its metadata, where `datasets` looks for them.

    Every field may be null, because `datasets` takes the features of no other field; which columns
    have no nulls, the contract says.
    """
    content = {"info": {"features": hugging_face_features(schema, classes)}}
    metadata = {**(schema.metadata or {}), _METADATA_KEY: json.dumps(content).encode()}
    return pa.schema([field.with_nullable(True) for field in schema], metadata=metadata)


def card_features(schema: pa.Schema) -> list[dict[str, Any]]:
    """The same features in the notation of a dataset card's YAML."""
    return [{"name": name, **_notation(feature)} for name, feature in _stored(schema).items()]


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Columns of a written dataset that hold class numbers, with the names of the classes."""
    return {
        column: list(feature["names"])
        for column, feature in _stored(schema).items()
        if feature.get("_type") == "ClassLabel"
    }


def named(batch: pa.RecordBatch, classes: Classes) -> pa.RecordBatch:
    """Rows with class names in place of class numbers."""
    for position, column in enumerate(batch.schema.names):
        if column in classes:
            codes = pa.array(batch.column(position), pa.int64())
            texts = pa.array(list(classes[column]), pa.string()).take(codes)
            batch = batch.set_column(position, column, texts)
    return batch


def _stored(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    content = json.loads((schema.metadata or {}).get(_METADATA_KEY, b"{}"))
    return dict(content.get("info", {}).get("features", {}))


def _notation(feature: dict[str, Any]) -> dict[str, Any]:
    kind = feature.get("_type")
    if kind == "Image":
        return {"dtype": "image"}
    if kind == "ClassLabel":
        # Card readers want text keys.
        names = {str(code): name for code, name in enumerate(feature["names"])}
        return {"dtype": {"class_label": {"names": names}}}
    if kind == "List":
        inner = _notation(feature["feature"])
        return {"list": inner.get("dtype", inner.get("struct"))}
    if kind == "Value":
        return {"dtype": feature["dtype"]}
    return {"struct": [{"name": n, **_notation(f)} for n, f in feature.items()]}
