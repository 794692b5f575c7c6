"""The types of a CSV file's columns: declared, or inferred once so that no value is altered."""

from __future__ import annotations

import re
from decimal import Decimal

import attrs
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]

#: As many as a Decimal128 of BSON holds.
MAX_DECIMAL_DIGITS = 34
_DECIMAL128_DIGITS = 38
#: Any decimal number of so many digits survives the way through a float64.
EXACT_FLOAT_DIGITS = 15

INTEGER = r"^-?(?:0|[1-9][0-9]{0,18})$"
NUMBER = r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?$"
BOOL = r"^(?:true|false|True|False|TRUE|FALSE)$"
_DAY_AND_TIME = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,3})?)?"
)
TIMESTAMP = _DAY_AND_TIME + r")?$"
ZONED_TIMESTAMP = _DAY_AND_TIME + r")(?:Z|[+-][0-9]{2}:?[0-9]{2})$"
_ZONE = r"[ T][0-9:.]+(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)$"
DECIMAL = r"^[+-]?[0-9]+(?:\.[0-9]+)?$"

#: The texts that pyarrow's CSV reader takes for a bool here, in any bool column.
TRUE_TEXTS = ("true", "True", "TRUE", "1")
FALSE_TEXTS = ("false", "False", "FALSE", "0")

_UTC = "UTC"
_DECLARED = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    # Its scale is that of each block's longest fraction, so it is read as text first.
    "decimal": pa.string(),
}
#: In the order in which they are tried; the first that fits every value wins.
_INFERRED = (
    (INTEGER, pa.int64()),
    (NUMBER, pa.float64()),
    (BOOL, pa.bool_()),
    (TIMESTAMP, pa.timestamp("ms")),
    (ZONED_TIMESTAMP, pa.timestamp("ms", _UTC)),
)


@attrs.frozen(kw_only=True)
class Column:
    """One column: `kind` as the registration calls it, `arrow` as the CSV reader is told."""

    name: str
    kind: str
    arrow: pa.DataType
    declared: bool

    @property
    def is_inferred_number(self) -> bool:
        """Tell whether a leading zero or a plus sign must not be read away."""
        return not self.declared and self.kind in {"int64", "float64"}


def declared(name: str, kind: str, texts: pa.Array) -> Column:
    """Make a column of the registered type; `texts` decides only whether timestamps have zones."""
    if kind == "timestamp":
        zoned = texts.null_count < len(texts) and not _unlike(texts, _ZONE).any()
        arrow = pa.timestamp("us", _UTC if zoned else None)
    else:
        arrow = _DECLARED[kind]
    return Column(name=name, kind=kind, arrow=arrow, declared=True)


def inferred(name: str, texts: pa.Array) -> Column:
    """Find the type that holds every one of these texts exactly; no value at all means text."""
    values = texts.drop_null()
    arrow = next(
        (kind for pattern, kind in _INFERRED if len(values) and _holds(values, pattern, kind)),
        pa.string(),
    )
    return Column(name=name, kind=kind_of(arrow), arrow=arrow, declared=False)


def kind_of(arrow: pa.DataType) -> str:
    """Name an Arrow type in the words of a registration."""
    if pa.types.is_timestamp(arrow):
        return "timestamp"
    return {pa.int64(): "int64", pa.float64(): "float64", pa.bool_(): "bool"}.get(arrow, "string")


def cast(texts: pa.Array, column: Column) -> tuple[pa.Array, Mask]:
    """Cast texts to a column's type; the mask tells which could not be and are null instead."""
    if column.kind == "string":
        return texts, np.zeros(len(texts), dtype=bool)
    if column.kind == "timestamp" and column.declared:
        return _cast_timestamps(texts, column.arrow)
    if column.kind != "timestamp":
        texts = pc.utf8_trim(texts, characters=" \t")  # as Arrow's CSV reader does
    if column.kind == "decimal":
        return _cast_decimals(texts)
    return _cast_bisected(texts, column.arrow, _unlike(texts, _strict_pattern(column)))


def is_altered(texts: pa.Array) -> bool:
    """Tell whether a number reader would take a leading zero, plus sign or hex prefix away."""
    return bool(pc.any(pc.match_substring_regex(texts, r"^[ \t]*(?:\+|-?0[0-9xX])")).as_py())


def utf8(data: pa.Array) -> tuple[pa.Array, Mask]:
    """Cast bytes to texts; the mask tells which are not UTF-8 and are null instead."""
    return _cast_bisected(data, pa.string())


def _strict_pattern(column: Column) -> str | None:
    if column.is_inferred_number:
        return INTEGER if column.kind == "int64" else NUMBER
    if column.kind == "bool":
        return rf"^(?:{'|'.join(TRUE_TEXTS + FALSE_TEXTS)})$"
    return None


def _holds(values: pa.Array, pattern: str, arrow: pa.DataType) -> bool:
    # Most columns are told apart by their first value already.
    if not re.search(pattern, values[0].as_py()) or _unlike(values, pattern).any():
        return False
    try:
        cast_values = values.cast(arrow)
    except pa.ArrowInvalid:
        return False
    return arrow != pa.float64() or _exact_as_float(values, cast_values)


def _exact_as_float(texts: pa.Array, floats: pa.Array) -> bool:
    if not pc.all(pc.is_finite(floats)).as_py():
        return False
    digits = pc.replace_substring_regex(texts, pattern=r"^-?0*\.?0*|[.]|[eE].*$", replacement="")
    long = pc.greater(pc.utf8_length(digits), EXACT_FLOAT_DIGITS)
    return all(
        Decimal(repr(float(text))) == Decimal(text) for text in texts.filter(long).to_pylist()
    )


def _cast_timestamps(texts: pa.Array, arrow: pa.DataType) -> tuple[pa.Array, Mask]:
    """Cast times with and without zone alike; one without is taken as UTC."""
    zoned = pc.match_substring_regex(texts, _ZONE)
    nothing = pa.scalar(None, pa.string())
    plain, bad = _cast_bisected(pc.if_else(zoned, nothing, texts), pa.timestamp("us"))
    moved, bad_moved = _cast_bisected(pc.if_else(zoned, texts, nothing), pa.timestamp("us", _UTC))
    times = pc.coalesce(plain, moved.cast(pa.timestamp("us")))
    return times.cast(arrow), bad | bad_moved


def _cast_decimals(texts: pa.Array) -> tuple[pa.Array, Mask]:
    digits = pc.replace_substring_regex(texts, pattern=r"^[+-]?0*|[.]", replacement="")
    fits = pc.less_equal(pc.utf8_length(digits), MAX_DECIMAL_DIGITS)
    bad = _unlike(texts, DECIMAL) | ~_mask(fits)
    good = _without(texts, bad)
    fractions = pc.utf8_length(pc.replace_substring_regex(good, r"^[^.]*\.?", ""))
    scale = pc.max(fractions).as_py() or 0
    try:
        return good.cast(pa.decimal128(_DECIMAL128_DIGITS, scale)), bad
    except pa.ArrowInvalid:
        # Long ones before and behind the point meet in one block.
        return good.cast(pa.decimal256(2 * MAX_DECIMAL_DIGITS, scale)), bad


def _cast_bisected(
    texts: pa.Array, arrow: pa.DataType, bad: Mask | None = None
) -> tuple[pa.Array, Mask]:
    """Cast what can be cast: halve where Arrow refuses, until the bad values stand alone."""
    bad = np.zeros(len(texts), dtype=bool) if bad is None else bad.copy()
    return _cast_span(_without(texts, bad), arrow, 0, bad), bad


def _cast_span(texts: pa.Array, arrow: pa.DataType, start: int, bad: Mask) -> pa.Array:
    try:
        return texts.cast(arrow)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            bad[start] = True
            return pa.nulls(1, arrow)
    middle = len(texts) // 2
    left = _cast_span(texts[:middle], arrow, start, bad)
    right = _cast_span(texts[middle:], arrow, start + middle, bad)
    return pa.concat_arrays([left, right])


def _unlike(texts: pa.Array, pattern: str | None) -> Mask:
    if pattern is None:
        return np.zeros(len(texts), dtype=bool)
    return ~_mask(pc.match_substring_regex(texts, pattern))


def _mask(flags: pa.Array) -> Mask:
    """Make a mask of flags; a null counts as true, because a missing value fits every type."""
    mask: Mask = pc.fill_null(flags, True).to_numpy(zero_copy_only=False)  # noqa: FBT003
    return mask


def _without(texts: pa.Array, bad: Mask) -> pa.Array:
    return pc.if_else(pa.array(bad), pa.scalar(None, texts.type), texts) if bad.any() else texts
