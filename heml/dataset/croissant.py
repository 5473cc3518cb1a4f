"""The dataset's `croissant.json`: Croissant 1.0 with the responsible-AI vocabulary.

Sources: MLCommons Croissant Format Specification 1.0, and Croissant RAI Specification 1.0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from heml.dataset import fact_sentences
from heml.dataset.dataset_facts import DatasetFacts
from heml.dataset_folder.features import class_names

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_CITATION = (
    "@article{andrews2024explainable, title={Explainable Metric Learning for Deflating Data Bias}, "
    "author={Andrews and Mishra}, journal={arXiv preprint arXiv:2407.04866}, year={2024}}"
)


def croissant(facts: DatasetFacts, files: Sequence[Path], hashes: Mapping[str, str]) -> str:
    """The JSON-LD text.

    Parameters
    ----------
    facts : DatasetFacts
    files : sequence of pathlib.Path
        The Parquet files, in the folder `data` beside the JSON-LD file.
    hashes : mapping of str to str
        `data/<file>` → SHA-256.
    """
    splits = list(facts.rows_by_split)
    schema = pq.read_schema(files[0])
    classes = class_names(schema)
    content = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": f"{facts.name}-rebalanced",
        "description": (
            f"{facts.summary['rows']} images with semantic masks and the label {facts.label}, "
            f"{facts.summary['recombined']} of them recombined from segments of others so that the "
            f"label no longer comes with {', '.join(facts.attributes)}."
        ),
        "conformsTo": [
            "http://mlcommons.org/croissant/1.0",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "version": facts.summary["version"],
        "license": facts.licence or "unknown",
        "citeAs": _CITATION,
        "keywords": ["images", "debiased", facts.label, *facts.attributes],
        **_responsible_ai(facts),
        "distribution": _distribution(files, hashes, splits),
        "recordSet": [
            *(_enumeration(column, names) for column, names in classes.items()),
            *(_record_set(split, schema, classes) for split in splits),
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _responsible_ai(facts: DatasetFacts) -> dict[str, Any]:
    images, samples = facts.images, facts.samples
    refused = ", ".join(f"{n} {reason}" for reason, n in samples["refused_by_reason"].items())
    return {
        "rai:dataCollection": (
            f"{images['read']} records of an existing dataset were read; {images['accepted']} were "
            f"accepted, {images['quarantined']} refused and {images['excluded']} excluded."
        ),
        "rai:dataCollectionType": ["Secondary Data analysis"],
        "rai:dataCollectionMissingData": (
            "Records without a readable image, a label or an attribute value are refused, each "
            "with "
            "its reason, and are not part of the dataset."
        ),
        "rai:dataManipulationProtocol": " ".join(fact_sentences.manipulation(facts)),
        "rai:dataPreprocessingProtocol": [
            "Images of real rows are never scaled: the input's own bytes, or PNG where 16 bits, "
            "transparency or EXIF orientation make readers differ.",
            f"Of {samples['tried']} edits {samples['refused']} were not kept"
            + (f" ({refused})." if refused else "."),
        ],
        "rai:dataImputationProtocol": (
            "Nothing is imputed: what is not known of a recombined row is empty."
        ),
        "rai:dataAnnotationProtocol": [fact_sentences.annotation(facts)],
        "rai:dataAnnotationPlatform": ["HEML"],
        "rai:machineAnnotationTools": [name for name in facts.segmenters if name != "annotated"]
        or ["none: masks came with the input"],
        "rai:dataBiases": list(fact_sentences.biases(facts)),
        "rai:dataLimitations": list(fact_sentences.limitations(facts)),
        "rai:dataUseCases": [
            f"Training classifiers of {facts.label} that do not lean on "
            f"{', '.join(facts.attributes)}. " + " ".join(fact_sentences.effect(facts))
        ],
        "rai:dataSocialImpact": (
            "Balanced are only the named attributes, as far as their segments carry them. "
            "Whether a "
            "model is fair to persons, this dataset alone cannot show."
        ),
        "rai:personalSensitiveInformation": [
            "Whatever the input's images show. Recombined images join segments of two images: if "
            "these show persons, the result is no picture of either."
        ],
        "rai:dataReleaseMaintenancePlan": (
            "Images can be revoked: a new version then lacks them and everything made of them. "
            f"This is version {facts.summary['version']}, with {facts.summary['revoked']} images "
            "revoked."
        ),
    }


def _distribution(
    files: Sequence[Path], hashes: Mapping[str, str], splits: Sequence[str]
) -> list[dict[str, Any]]:
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": f"data/{file.name}",
            "name": f"data/{file.name}",
            "contentUrl": f"data/{file.name}",
            "contentSize": f"{file.stat().st_size} B",
            "encodingFormat": "application/x-parquet",
            "sha256": hashes[f"data/{file.name}"],
        }
        for file in files
    ]
    # Of no container: readers look for the files beside this one.
    sets = [
        {
            "@type": "cr:FileSet",
            "@id": f"files-{split}",
            "name": f"files-{split}",
            "description": f"Parquet files of the {split} split.",
            "encodingFormat": "application/x-parquet",
            "includes": f"data/{split}-*.parquet",
        }
        for split in splits
    ]
    return objects + sets


def _enumeration(column: str, names: Sequence[str]) -> dict[str, Any]:
    """The classes of a column: its numbers with their names."""
    name = _enumeration_of(column)
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"Classes of the column '{column}'.",
        "dataType": "sc:Enumeration",
        "key": {"@id": f"{name}/number"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/number", "name": "number",
             "description": "As the column has it.", "dataType": "sc:Integer"},
            {"@type": "cr:Field", "@id": f"{name}/name", "name": "name",
             "description": "Of the class.", "dataType": ["sc:Text", "sc:name"]},
        ],
        "data": [
            {f"{name}/number": number, f"{name}/name": text} for number, text in enumerate(names)
        ],
    }  # fmt: skip


def _enumeration_of(column: str) -> str:
    # Splits are named otherwise, whatever the column is called.
    return f"classes-{column}"


def _record_set(
    split: str, schema: pa.Schema, classes: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    fields = [field for f in schema if (field := _field(split, f, classes)) is not None]
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"Rows of the {split} split.",
        "key": {"@id": f"{split}/image_id"},
        "field": fields,
    }


def _field(
    split: str, field: pa.Field, classes: Mapping[str, Sequence[str]]
) -> dict[str, Any] | None:
    """One column; None for what Croissant has no type of (the masks)."""
    source: dict[str, Any] = {
        "fileSet": {"@id": f"files-{split}"},
        "extract": {"column": field.name},
    }
    if field.name == "image":
        kind, repeated = "sc:ImageObject", False
        source["transform"] = {"jsonPath": "bytes"}
    else:
        repeated = pa.types.is_list(field.type)
        inner = field.type.value_type if repeated else field.type
        if pa.types.is_string(inner):
            kind = "sc:Text"
        elif pa.types.is_floating(inner):
            kind = "sc:Float"
        elif pa.types.is_integer(inner):
            kind = "sc:Integer"
        else:
            return None
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{field.name}",
        "name": field.name,
        "description": (field.metadata or {}).get(b"description", b"").decode(),
        "dataType": kind,
        "source": source,
        **({"repeated": True} if repeated else {}),
        **(
            {"references": {"field": {"@id": f"{_enumeration_of(field.name)}/number"}}}
            if field.name in classes
            else {}
        ),
    }
