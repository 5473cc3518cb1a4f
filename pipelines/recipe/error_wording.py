"""Saying what is wrong with a recipe in words that tell what to write instead.

Turns pydantic's errors into (location, sentence) pairs; which rules exist is said in the models.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from heml.parts.registered_settings import RegisteredSettings
from heml.segmentation.segmenter import SEGMENTERS
from heml.segmentation.trained_settings import gives_pseudo_labels
from heml.sources.layout import LAYOUTS
from heml.taxonomy import nearest
from pipelines.recipe.yaml_text import Location


def _kinds_of(key: str) -> Mapping[str, type[BaseModel]]:
    """Kind → its model, where a key may hold mappings of several kinds."""
    registries: Mapping[str, RegisteredSettings] = {
        "segmentation": RegisteredSettings(SEGMENTERS),
        "pseudo_labels": RegisteredSettings(SEGMENTERS, gives_pseudo_labels),
        "source": RegisteredSettings(LAYOUTS),
    }
    return registries[key].models() if key in registries else {}


def problems(error: ValidationError, model: type[BaseModel]) -> list[tuple[Location, str]]:
    """Every problem that pydantic found, unknown keys first.

    Parameters
    ----------
    model : type
        The model that refused the data.
    """
    found = error.errors(include_url=False)
    unknown = [e for e in found if e["type"] == "extra_forbidden"]
    misspelled = {_meant(e["loc"], model) for e in unknown}
    rest = [
        e
        for e in found
        # A required key that is missing because it is misspelled is one mistake, not two.
        if e["type"] != "extra_forbidden"
        and not (e["type"] == "missing" and e["loc"] in misspelled)
    ]
    # Where text or a mapping may stand, pydantic tells what is wrong with it as either.
    sentences = {_written(e): _sentence(e, model) for e in (*unknown, *rest)}
    return list(sentences.items())


def _written(error: Mapping[str, Any]) -> Location:
    """The location as the file has it: pydantic puts a union's chosen part between the keys."""
    location: Location = error["loc"]
    if _is_class_list(location):
        return ("source", "classes")
    if location[0] == "taxonomy":
        return location[:1]
    written = tuple(
        part
        for above, part in zip((None, *location), location, strict=False)
        if part not in _kinds_of(str(above))
    )
    return (*written, "kind") if error["type"] == "union_tag_invalid" else written


def _is_class_list(location: Location) -> bool:
    """Whether it is below `source.classes`, where text or a mapping may stand."""
    return len(location) > 3 and location[0] == "source" and location[2] == "classes"


def _sentence(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    location, value, context = error["loc"], error["input"], error.get("ctx", {})
    if location[0] == "taxonomy":
        return "must be a built-in name, or a mapping with leaves and tree"
    if _is_class_list(location):
        return (
            "must be a JSON file of class ids and names, a built-in list (atr, celebamask_hq), or "
            "the mapping itself, such as {0: background, 1: skin}"
        )
    match error["type"]:
        case "extra_forbidden":
            key = str(location[-1])
            return f"unknown key; {nearest(key, _keys_around(location, model))}"
        case "missing":
            return "is missing, and has no default"
        case "literal_error":
            return f"'{value}' is unknown; {nearest(str(value), _quoted(context['expected']))}"
        case "union_tag_invalid":
            tag = str(context["tag"])
            return f"unknown kind '{tag}'; {nearest(tag, _kinds_of(str(location[-1])))}"
        case "union_tag_not_found":
            kinds = ", ".join(sorted(_kinds_of(str(location[-1]))))
            return f"needs the key 'kind', one of: {kinds}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a mapping of keys to values"
        case "list_type":
            return f"must be a list, such as [{value}]"
        case "string_type" if value is None:
            return "must not be empty"
        case "string_type" if isinstance(value, dict | list):
            return "must be text"
        case "string_type":
            return f"must be text, found {value!r}; put it in quotes"
        case "none_required":
            return "is not available yet; write null or leave the key out"
        case "int_type" | "int_parsing" | "int_from_float":
            return f"must be a whole number, found {value!r}"
        case "float_type" | "float_parsing":
            return f"must be a number, found {value!r}"
        case "bool_type" | "bool_parsing":
            return f"must be true or false, found {value!r}"
        case "string_pattern_mismatch":
            return (
                f"'{value}' must be lower-case letters, digits and _, starting with a letter, "
                "such as my_faces"
            )
        case "value_error":
            return str(context["error"])
        case _:
            message = str(error["msg"]).replace("Input should", "must", 1)
            return f"{message[0].lower()}{message[1:]}, found {value!r}"


def _quoted(expected: str) -> list[str]:
    return re.findall(r"'([^']*)'", expected)


def _meant(location: Location, model: type[BaseModel]) -> Location:
    """The location that an unknown key's nearest valid word would have."""
    hint = re.search(r"'(.*)'", nearest(str(location[-1]), _keys_around(location, model)))
    return (*location[:-1], hint.group(1)) if hint else location


def _keys_around(location: Location, model: type[BaseModel]) -> list[str]:
    """Valid keys of the mapping that holds the location."""
    kinds: Mapping[str, type[BaseModel]] = {}
    for part in map(str, location[:-1]):
        if part in kinds:
            model = kinds[part]
        elif part in model.model_fields:
            annotation = model.model_fields[part].annotation
            # an optional model is a union with None
            models = [m for m in (annotation, *get_args(annotation)) if _is_model(m)]
            model = models[0] if len(models) == 1 else model
            kinds = _kinds_of(part)
    return list(model.model_fields)


def _is_model(annotation: object) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)
