"""What is wrong with the data of a committed file: by its JSON Schema, then by its model."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import jsonschema
import pydantic

from mysimbdp.agreements import schema

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}
#: Keywords whose value completes the sentence "expected …".
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "minItems": "at least {} item",
    "minProperties": "at least {} key",
    "minLength": "at least {} character",
    "maxLength": "at most {} characters",
}
_MAX_SHOWN = 60


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that is wrong, and where: `data_constraints.file_types[0]`."""

    key: str
    expected: str
    found: str


def of_schema(kind: type[pydantic.BaseModel], data: Any) -> Iterator[Fault]:
    """Find what the schema of `kind` refuses in the data, every fault at once."""
    for error in sorted(_validator(kind).iter_errors(data), key=_place):
        yield from _explain(error, schema.schema_of(kind))


def of_model(error: pydantic.ValidationError) -> Iterator[Fault]:
    """Translate what the model refused; our own rules raise a ValueError with what they want."""
    for detail in error.errors(include_url=False):
        context = detail.get("ctx", {})
        place = [part for part in detail["loc"] if part != "[key]"]
        yield Fault(
            key=dotted(place),
            expected=str(context.get("error") or context.get("expected") or detail["msg"]),
            found=context.get("found") or show(detail["input"]),
        )


def dotted(place: Iterable[str | int]) -> str:
    """Write the way to a value: `contacts[0]`, `batch.taxi.callable`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def show(value: object) -> str:
    """Write a value short enough for a message."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


@functools.cache
def _validator(kind: type[pydantic.BaseModel]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema.schema_of(kind))


def _place(error: jsonschema.ValidationError) -> list[str]:
    return [str(part) for part in error.absolute_path]


# An error of jsonschema is taken as Any below: its types say that each attribute may be unset.


def _explain(error: Any, root: dict[str, Any]) -> Iterator[Fault]:
    place = list(error.absolute_path)
    rule, value = error.validator, error.instance
    if rule == "anyOf":
        # All our alternatives are "this or nothing"; who wrote something meant this.
        for inner in error.context or ():
            if inner.schema != {"type": "null"}:
                yield from _explain(inner, root)
    elif rule == "required":
        for name in error.validator_value:
            if name not in value:
                wanted = _wanted(error.schema["properties"][name], root)
                yield Fault(key=dotted([*place, name]), expected=wanted, found="nothing")
    elif rule == "additionalProperties":
        known = ", ".join(error.schema["properties"])
        for name in value:
            if name not in error.schema["properties"]:
                key = dotted([*place, name])
                yield Fault(key=key, expected=f"one of the keys {known}", found=show(name))
    else:
        yield Fault(key=dotted(place), expected=_expected(error, root), found=_found(error))


def _expected(error: Any, root: dict[str, Any]) -> str:
    rule, limit = str(error.validator), error.validator_value
    if rule in _BOUNDS:
        return _BOUNDS[rule].format(limit)
    if rule == "oneOf":
        return f"exactly one of {' and '.join(case['required'][0] for case in limit)}"
    if rule == "uniqueItems":
        return "each value once"
    return _wanted(error.schema, root)


def _found(error: Any) -> str:
    if error.validator == "oneOf":
        names = [case["required"][0] for case in error.validator_value]
        return "both" if any(name in error.instance for name in names) else "neither"
    if error.validator == "uniqueItems":
        return ", ".join(str(item) for item in error.instance)
    return show(error.instance)


def _wanted(subschema: dict[str, Any], root: dict[str, Any]) -> str:
    """Say what a value has to be, from its schema alone."""
    if "$ref" in subschema:
        return _wanted(root["$defs"][subschema["$ref"].rpartition("/")[2]], root)
    if "enum" in subschema:
        return f"one of {', '.join(subschema['enum'])}"
    if "pattern" in subschema:
        return str(subschema.get("title") or f"text like {subschema['pattern']}")
    if "properties" in subschema:
        return f"a mapping with the keys {', '.join(subschema['properties'])}"
    return _TYPES[subschema["type"]]
