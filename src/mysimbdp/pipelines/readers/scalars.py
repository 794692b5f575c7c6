"""Cast single values of JSON and XML to the types that a registration declares."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from mysimbdp.pipelines.readers import base, columns

if TYPE_CHECKING:
    from collections.abc import Mapping

INT64_MINIMUM, INT64_MAXIMUM = -(2**63), 2**63 - 1
_INT64_DIGITS = 19

_INTEGER = re.compile(r"-?[0-9]+")
_FLOAT = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|NaN|-?inf|-?Infinity"
)
_DECIMAL = re.compile(columns.DECIMAL)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
#: Arrow reads times of day like these too; Python alone would also take week dates and more.
_TIME = re.compile(_DATE.pattern + r"(?:[ T].*)?")


class UnfitError(ValueError):
    """A value does not fit its type."""

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.field = field


class ExactFloat(float):
    """A number that remembers how it was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Self:
        """Parse a number."""
        value = super().__new__(cls, text)
        value.text = text
        return value


def needs_exact_text(options: base.ReadOptions) -> bool:
    """Tell whether numbers must keep how they were written until they are cast."""
    return not {"string", "decimal"}.isdisjoint(options.columns.values())


def cast_record(record: base.Record, options: base.ReadOptions) -> base.Record:
    """Cast the declared fields and leave out missing ones; a list is cast element by element.

    Raises:
        UnfitError: says what was expected and what was found.

    """
    kept = {}
    for name, value in record.items():
        kind = options.columns.get(name)
        if value is None or (kind and is_missing(value, kind, options.missing)):
            continue
        kept[name] = _cast(name, kind, value) if kind else _plain(value)
    return kept


def is_missing(value: Any, kind: str, missing: tuple[str, ...]) -> bool:
    """Tell whether a text stands for no value; in a declared text only the empty one does."""
    return isinstance(value, str) and (not value or (kind != "string" and value in missing))


def _cast(name: str, kind: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_cast(name, kind, element) for element in value if element is not None]
    try:
        return _CASTS[kind](value)
    except (ValueError, ArithmeticError):
        reason = f"column {name}: expected {kind}, found {base.found(value)}"
        raise UnfitError(reason, name) from None


def _plain(value: Any) -> Any:
    if isinstance(value, ExactFloat):
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _text(value: Any) -> str:
    """Give a number's exact text, as it was written."""
    if isinstance(value, ExactFloat):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError


def _int64(value: Any) -> int:
    if isinstance(value, str):
        value = int(_matched(_INTEGER, value)) if len(value) <= 2 * _INT64_DIGITS else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - one kind of error for all
    if not INT64_MINIMUM <= value <= INT64_MAXIMUM:
        raise ValueError
    return value


def _float64(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError  # noqa: TRY004 - one kind of error for all
    return float(_matched(_FLOAT, value) if isinstance(value, str) else value)


def _bool(value: Any) -> bool:
    text = _text(value)
    if text not in columns.TRUE_TEXTS + columns.FALSE_TEXTS:
        raise ValueError
    return text in columns.TRUE_TEXTS


def _date(value: Any) -> date:
    return date.fromisoformat(_matched(_DATE, value))


def _timestamp(value: Any) -> datetime:
    moment = datetime.fromisoformat(_matched(_TIME, value))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _decimal(value: Any) -> Decimal:
    number = Decimal(_matched(_DECIMAL, _text(value)))
    if len(number.as_tuple().digits) > columns.MAX_DECIMAL_DIGITS:
        raise ValueError
    return number


def _matched(pattern: re.Pattern[str], value: Any) -> str:
    text = value.strip(" \t") if isinstance(value, str) else ""
    if not pattern.fullmatch(text):
        raise ValueError
    return text


_CASTS: Mapping[str, Any] = {
    "string": _text,
    "int64": _int64,
    "float64": _float64,
    "bool": _bool,
    "date": _date,
    "timestamp": _timestamp,
    "decimal": _decimal,
}
