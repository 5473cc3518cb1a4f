"""The JSON schema of a recipe file, from which editors complete keys and mark mistakes."""

from __future__ import annotations

import json
from typing import Any

from pipelines.recipe.model import Recipe

#: The file beside a drafted recipe, which the recipe's first line names.
SCHEMA_FILE = "heml.schema.json"


def recipe_schema() -> str:
    """The schema as JSON, with the parts that are registered now."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Recipe.model_json_schema(),
        "title": "HEML recipe",
    }
    # Some keys have short forms, which the model expands before it validates.
    text: dict[str, Any] = {"type": "string"}
    short: dict[str, list[dict[str, Any]]] = {
        "schedule": [text],
        "watch": [{"type": "boolean"}],
        "alerts": [text, {"type": "array", "items": text, "minItems": 1}],
    }
    for key, forms in short.items():
        schema["properties"][key]["anyOf"] += forms
    trunk = schema["$defs"]["MetricSettings"]["properties"]["trunk"]
    backbone = {"type": "object", "required": ["backbone"], "properties": {"backbone": {}}}
    trunk["anyOf"] = [{"type": trunk.pop("type")}, backbone]
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
