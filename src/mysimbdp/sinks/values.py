"""Encode Python values as BSON, strictly: what a document cannot hold is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import bson
import numpy as np
from bson.codec_options import CodecOptions, TypeRegistry
from bson.decimal128 import Decimal128

from mysimbdp import errors

NO_ID = bson.ObjectId(bytes(12))
#: What MongoDB promises to store.
MAX_LEVELS = 100
_MAX_REASON_CHARACTERS = 300

#: Encoded as they are; telling them apart by type alone is quick.
_ATOMS = frozenset({str, int, bool, bytes, datetime})
#: A record of these needs no look at its values but for what is missing.
_FLAT = _ATOMS | {float, type(None)}
#: Missing values of pandas, named so that this does not import it.
_MISSING_TYPES = frozenset({"NoneType", "NAType", "NaTType"})


class EncodeError(errors.TerminalError):
    """A value, or a column's name or type, has no place in a document."""


def document(record: Any) -> bytes:
    """Encode a record as a document that begins with an `_id` of zero bytes.

    Raises:
        EncodeError: says what was expected and what was found.

    """
    if type(record) is not dict and not isinstance(record, Mapping):
        raise EncodeError(f"expected a record, found {type(record).__name__}")
    if "_id" in record or "" in record:
        raise EncodeError("expected named fields other than _id, which the platform makes")
    return _encode({"_id": NO_ID, **_fields(record, 1)})


def flat_document(record: Any) -> bytes | None:
    """Encode a record without subdocuments and lists, the quick way; None if it is not one."""
    if type(record) is not dict or "_id" in record or "" in record:
        return None
    kinds = set(map(type, record.values()))
    if not kinds <= _FLAT:
        return None
    if not kinds <= _ATOMS:
        record = _present(record)
    try:
        return bson.encode({"_id": NO_ID, **record}, codec_options=_OPTIONS)
    except (bson.errors.BSONError, ValueError, TypeError, OverflowError):
        return None  # the thorough way says why


def keyed_document(record: Mapping[str, Any], key: str) -> bytes:
    """Encode a record as a document that begins with the value of `key` as its `_id`.

    Raises:
        EncodeError: says what was expected and what was found.

    """
    if "_id" in record or "" in record:
        raise EncodeError("expected named fields other than _id, which the platform makes")
    if isinstance(record[key], list | tuple):
        raise EncodeError(f"expected a key that is no list, found one in {key}")
    return _encode({"_id": _value(record[key], 1), **_fields(record, 1)})


def element(name: str, value: Any) -> bytes:
    """Encode one field of a document.

    Raises:
        EncodeError: says what was expected and what was found.

    """
    frame = _encode({name: _value(value, 1)})
    return frame[4:-1]


def _encode(fields: Mapping[str, Any]) -> bytes:
    try:
        return bson.encode(fields, codec_options=_OPTIONS)
    except EncodeError:
        raise
    except (bson.errors.BSONError, ValueError, TypeError, OverflowError) as error:
        raise EncodeError(str(error)[:_MAX_REASON_CHARACTERS]) from error


def _fields(record: Mapping[Any, Any], level: int) -> Mapping[Any, Any]:
    _check_level(level)
    kinds = set(map(type, record.values()))
    if kinds <= _ATOMS:
        return record
    if kinds <= _FLAT:
        return _present(record)
    return {
        name: value if type(value) in _ATOMS else _value(value, level)
        for name, value in record.items()
        if not _is_missing(value)
    }


def _present(record: Mapping[Any, Any]) -> dict[Any, Any]:
    """Leave out None and NaN, which alone differs from itself."""
    return {n: v for n, v in record.items() if v is not None and v == v}  # noqa: PLR0124


def _value(value: Any, level: int) -> Any:
    if type(value) is dict or isinstance(value, Mapping):
        return _fields(value, level + 1)
    if isinstance(value, list | tuple):
        _check_level(level + 1)
        return [_value(inner, level + 1) for inner in value]
    return value


def _check_level(level: int) -> None:
    if level > MAX_LEVELS:
        raise EncodeError(f"expected at most {MAX_LEVELS} levels of nesting, found more")


def _is_missing(value: Any) -> bool:
    if isinstance(value, float | np.floating):
        return bool(value != value)  # noqa: PLR0124 - only NaN differs from itself
    return type(value).__name__ in _MISSING_TYPES


def _known(value: Any) -> Any:
    """Give a value that BSON knows for one that it does not."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, int):
        raise EncodeError(f"expected an integer of 64 bits, found {value}"[:_MAX_REASON_CHARACTERS])
    if type(value).__name__ == "NAType":
        return None
    raise EncodeError(f"expected a type that BSON has, found {type(value).__name__}")


def _decimal(value: Decimal) -> Decimal128:
    try:
        return Decimal128(value)
    except ArithmeticError as error:
        raise EncodeError(f"expected a decimal of at most 34 digits, found {value}") from error


_OPTIONS: CodecOptions[dict[str, Any]] = CodecOptions(
    type_registry=TypeRegistry(fallback_encoder=_known)
)
