"""Turn a column into the BSON elements of its rows, without one Python object a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mysimbdp.sinks import values

if TYPE_CHECKING:
    from mysimbdp.sinks.layout import Flags, Layout, Numbers

_DOUBLE, _STRING, _BOOL, _TIME, _INT32, _INT64 = (
    b"\x01",
    b"\x02",
    b"\x08",
    b"\x09",
    b"\x10",
    b"\x12",
)
_DAY_MILLISECONDS = 86_400_000
_UNITS_PER_MILLISECOND = {"us": 1_000, "ns": 1_000_000}


def add_column(layout: Layout, name: str, column: pa.Array) -> None:
    """Append a column's elements to the documents; nulls and NaN have none.

    Raises:
        EncodeError: the column's type, or a value, has no place in a document.

    """
    column = _unwrapped(column)
    if column.null_count == len(column):
        return
    numbers = _numbers(name, column)
    if numbers is not None:
        tag, array = numbers
        _add_fixed(layout, tag + name.encode() + b"\x00", array, _present(column, array))
    elif _is_text(column.type):
        _add_texts(layout, _STRING + name.encode() + b"\x00", column)
    else:
        elements = _encoded_singly(name, column)
        layout.variable(elements, _lengths(elements))


def _unwrapped(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.ExtensionArray):
        return _unwrapped(column.storage)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _add_fixed(layout: Layout, head: bytes, numbers: Numbers, present: Flags | None) -> None:
    if present is None:
        layout.fixed(head, numbers)
    else:
        layout.optional(present, head, numbers)


def _add_texts(layout: Layout, head: bytes, column: pa.Array) -> None:
    data = column.cast(pa.large_string()).cast(pa.large_binary())
    lengths = _lengths(data)
    stored = (lengths + 1).astype("<i4")  # the NUL behind the text counts
    if column.null_count:
        present = _valid(column)
        layout.optional(present, head, stored)
        layout.variable(data, lengths)
        layout.optional(present, b"\x00")
    else:
        layout.fixed(head, stored)
        layout.variable(data, lengths)
        layout.fixed(b"\x00")


def _numbers(name: str, column: pa.Array) -> tuple[bytes, Numbers] | None:
    """Give the BSON type and the values of a column of fixed width; None for other columns."""
    kind = column.type
    if pa.types.is_integer(kind):
        return _integers(name, column)
    if pa.types.is_floating(kind):
        return _DOUBLE, _raw(column, f"<f{kind.bit_width // 8}").astype("<f8", copy=False)
    if pa.types.is_boolean(kind):
        flags = column.fill_null(False)  # noqa: FBT003 - Arrow's name for the value
        return _BOOL, flags.to_numpy(zero_copy_only=False)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _TIME, _milliseconds(name, column)
    return None


def _integers(name: str, column: pa.Array) -> tuple[bytes, Numbers]:
    kind = column.type
    if kind == pa.uint64():
        column, kind = _cast(name, column, pa.int64()), pa.int64()
    sign = "i" if pa.types.is_signed_integer(kind) else "u"
    numbers = _raw(column, f"<{sign}{kind.bit_width // 8}")
    if kind in {pa.int64(), pa.uint32()}:
        return _INT64, numbers.astype("<i8", copy=False)
    return _INT32, numbers.astype("<i4", copy=False)


def _milliseconds(name: str, column: pa.Array) -> Numbers:
    kind = column.type
    if pa.types.is_date32(kind):
        return _raw(column, "<i4").astype("<i8") * _DAY_MILLISECONDS
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        column = _cast(name, column, pa.timestamp("ms", kind.tz))
    numbers = _raw(column, "<i8")
    per_millisecond = _UNITS_PER_MILLISECOND.get(getattr(kind, "unit", "ms"), 1)
    # Towards the past, also before 1970, as bson does it.
    return numbers // per_millisecond if per_millisecond > 1 else numbers


def _cast(name: str, column: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        raise values.EncodeError(f"column {name}: expected {kind}: {error}") from error


def _raw(column: pa.Array, dtype: str) -> Numbers:
    """View the values; what stands in the place of a null means nothing."""
    start = column.offset * np.dtype(dtype).itemsize
    return np.frombuffer(column.buffers()[1], dtype, len(column), start)


def _present(column: pa.Array, numbers: Numbers) -> Flags | None:
    present = _valid(column) if column.null_count else None
    if numbers.dtype.kind == "f":
        missing = np.isnan(numbers)
        if missing.any():
            present = ~missing if present is None else present & ~missing
    return present


def _valid(column: pa.Array) -> Flags:
    flags: Flags = column.is_valid().to_numpy(zero_copy_only=False)
    return flags


def _lengths(data: pa.LargeBinaryArray) -> Numbers:
    lengths: Numbers = pc.binary_length(data).fill_null(0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64)


def _is_text(kind: pa.DataType) -> bool:
    return kind in {pa.string(), pa.large_string(), pa.string_view()}


def _encoded_singly(name: str, column: pa.Array) -> pa.LargeBinaryArray:
    try:
        elements = [
            None if value is None else values.element(name, value)
            for value in _python_values(column)
        ]
    except values.EncodeError as error:
        raise values.EncodeError(f"column {name}: {error}") from error
    return pa.array(elements, pa.large_binary())


def _python_values(column: pa.Array) -> list[Any]:
    try:
        return column.to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise values.EncodeError(str(error)) from error
