"""The type of a recipe key that names a registered part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from heml.parts.registry import Registry
from heml.taxonomy import nearest


@dataclass(frozen=True)
class RegisteredName:
    """Annotates a text: `Annotated[str, RegisteredName(OPERATORS)]`.

    A name that the registry does not hold is refused with the nearest one. The JSON schema lists
    the names that are registered when it is built.

    Parameters
    ----------
    registry : Registry
    aliases : tuple of (str, str)
        Other spellings, each with its name.
    """

    registry: Registry[Any]
    aliases: tuple[tuple[str, str], ...] = ()

    def check(self, name: str) -> str:
        name = dict(self.aliases).get(name, name)
        if name not in self.registry:
            raise ValueError(f"'{name}' is unknown; {nearest(name, self.registry.names())}")
        return name

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "enum": list(self.registry.names())}
