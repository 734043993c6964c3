"""Structs of msgspec as bodies and answers of FastAPI's routes, documented by their own schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from bandit_core.rules.experiment_requests import read
from bandit_core.rules.messages import NOT_JSON
from bandit_core.rules.problems import Invalid

# In the schema of FastAPI, until `openapi` refers to the struct's own.
PLACEHOLDER: Final = "x-struct"


@dataclass(frozen=True)
class AsStruct:
    """Goes into `Annotated` with a struct, which is decoded from a body, or encoded as an answer."""

    kind: type[msgspec.Struct]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        encoded = core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins)
        return core_schema.no_info_plain_validator_function(self._decoded, serialization=encoded)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {PLACEHOLDER: self.kind.__name__}

    def _decoded(self, value: object) -> msgspec.Struct:
        if isinstance(value, self.kind):
            return value
        if not isinstance(value, dict):
            raise Invalid.field("body", NOT_JSON)
        return read(self.kind, value)
