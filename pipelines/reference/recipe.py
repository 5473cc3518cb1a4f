"""docs/recipe.md: every recipe key, from the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.recipe.model import Recipe
from pipelines.reference.markdown import table

_HEAD = """\
# Recipe

A recipe is one YAML file. `name` and `source` are required; every other key has a default. Editors
with a YAML language server complete keys and mark mistakes where the first line names the schema.
`heml init` writes that line and the schema beside the recipe; the schema is also
[recipe.schema.json](recipe.schema.json).

```yaml
# yaml-language-server: $schema=heml.schema.json
```

A recipe with an unknown key or a wrong value is refused before anything is computed, with the file,
the line, the key and what to write instead.
"""


def recipe_reference() -> str:
    """The page: the keys at the top, then one section per group of keys."""
    schema = Recipe.model_json_schema()
    lines = [_HEAD, *_keys(schema, schema)]
    for key, node in schema["properties"].items():
        for name, section in _objects(node, schema):
            title = f"`{key}`" + (f", kind `{name}`" if name else "")
            lines += ["", f"## {title}", "", section.get("description", ""), ""]
            lines += _keys(section, schema)
            for inner_key, inner in section["properties"].items():
                for _, inner_section in _objects(inner, schema):
                    lines += ["", f"### `{key}.{inner_key}`", ""]
                    lines += [inner_section.get("description", ""), ""]
                    lines += _keys(inner_section, schema)
    return "\n".join(lines).rstrip() + "\n"


def _objects(
    node: Mapping[str, Any], schema: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Models that a key may hold, with the kind where there are several."""
    choices = [node, *node.get("anyOf", ()), *node.get("oneOf", ())]
    for choice in choices:
        if "$ref" in choice:
            found = schema["$defs"][choice["$ref"].rpartition("/")[2]]
            yield found["properties"].get("kind", {}).get("const", ""), found


def _keys(section: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    required = section.get("required", ())
    rows = [
        [
            f"`{key}`",
            _type(node),
            "required" if key in required else _default(node),
            node.get("description", "") or _only_description(node, schema),
        ]
        for key, node in section["properties"].items()
        if not (key == "kind" and "const" in node)
    ]
    return list(table(["key", "value", "default", "meaning"], rows))


def _only_description(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    found = [section.get("description", "") for _, section in _objects(node, schema)]
    return found[0] if len(found) == 1 else ""


def _default(node: Mapping[str, Any]) -> str:
    if "default" not in node:
        return ""
    # Groups of keys have their defaults in their own section.
    value = node["default"]
    return "" if isinstance(value, dict) and value else f"`{json.dumps(value, ensure_ascii=False)}`"


def _type(node: Mapping[str, Any]) -> str:
    """What may be written, in words."""
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    for several in ("anyOf", "oneOf"):
        if several in node:
            return " or ".join(dict.fromkeys(map(_type, node[several])))
    if "$ref" in node:
        return "keys below"
    kind = node.get("type", "any")
    if kind == "array":
        return f"list of {_type(node.get('items', {}))}"
    if kind == "object":
        inner = node.get("additionalProperties")
        return f"mapping to {_type(inner)}" if isinstance(inner, dict) else "mapping"
    names = {"null": "`null`", "boolean": "true or false", "string": "text"}
    return " ".join([names.get(kind, kind), *_bounds(node)])


def _bounds(node: Mapping[str, Any]) -> Iterator[str]:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    yield from (f"{sign} {_number(node[key])}" for key, sign in signs.items() if key in node)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
