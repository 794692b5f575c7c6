"""JSON Schema generated from the models, for our own check and for editors."""

from __future__ import annotations

import functools
import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import core_schema

from mysimbdp.agreements import model

AGREEMENT_SCHEMA = "constraints/agreement.schema.json"

_EXAMPLE = {
    "data_constraints": {"file_types": ["CSV", "JSON", "XML"], "max_file_size": "350MB"},
    "service_agreement": {
        "max_throughput": "5MB/s",
        "max_concurrent_ingestions": 2,
        "storage_space_staging": "0.5GB",
        "max_memory": "2GB",
    },
    "plan": "basic",
    "contacts": ["ops@tenant2.example"],
}


class _Generator(GenerateJsonSchema):
    """Leave out the titles that only repeat the keys."""

    def generate(
        self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation"
    ) -> dict[str, Any]:
        return {"$schema": self.schema_dialect, **super().generate(schema, mode)}

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the base's signature
        return False


@functools.cache
def schema_of(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a model; do not change it, it is shared."""
    return kind.model_json_schema(schema_generator=_Generator)


def agreement_schema() -> dict[str, Any]:
    """Return the JSON Schema of an agreement, with a complete example."""
    return {**schema_of(model.Agreement), "examples": [_EXAMPLE]}


def agreement_schema_text() -> str:
    """Write the schema as the committed file holds it."""
    return json.dumps(agreement_schema(), indent=2) + "\n"
