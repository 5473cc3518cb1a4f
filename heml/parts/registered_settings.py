"""The type of a recipe key that holds the settings of a registered part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from heml.parts.registry import Registry


@dataclass(frozen=True)
class RegisteredSettings:
    """Annotates a settings model: `Annotated[SegmenterSettings, RegisteredSettings(SEGMENTERS)]`.

    The key `kind` names the part; every part has `settings`, a model with `kind: Literal[name]`.
    Parts may be registered after the recipe's model was built.

    Parameters
    ----------
    registry : Registry
    suits : callable, optional
        Whether a part may stand here. Default: all may.
    """

    registry: Registry[Any]
    suits: Callable[[Any], bool] | None = None

    def models(self) -> dict[str, type[BaseModel]]:
        """Name of each part → the model of its settings."""
        return {p.name: p.settings for p in self.registry if self.suits is None or self.suits(p)}

    def _adapter(self) -> TypeAdapter[Any]:
        union: Any = reduce(or_, self.models().values())
        return TypeAdapter(Annotated[union, Field(discriminator="kind")])

    def check(self, value: Any) -> Any:
        """Settings of the part that `kind` names."""
        return self._adapter().validate_python(value)

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(self._adapter().core_schema)
