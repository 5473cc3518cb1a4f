"""Recipe settings that name registered parts: validated by name, enumerated in the JSON schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from heml.parts.registry import Part, Registry


class PartName:
    """Annotation of a text that must name a part: `Annotated[str, PartName(LOSSES)]`.

    Parameters
    ----------
    registry : Registry
        What is in it when a recipe is read counts, parts of other distributions included.
    aliases : mapping of str to str, optional
        Other spellings → names.
    """

    def __init__(self, registry: Registry[Any], aliases: Mapping[str, str] | None = None) -> None:
        self._registry: Registry[Part] = registry
        self._aliases = aliases or {}

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._name, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": list(self._registry.names())}

    def _name(self, given: str) -> str:
        name = self._aliases.get(given, given)
        self._registry.check(name)
        return name
