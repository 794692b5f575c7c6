"""The one call of Arrow's CSV parser, and the search for numbers that it would tidy up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from mysimbdp.pipelines.readers import columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Bytes looked at in one go: their temporaries stay in the CPU's cache.
_WINDOW_BYTES = 256 * 1024
_BLANK = re.compile(rb"[\r\n]*+")
_LOOK_AHEAD = 3
_COMMA, _QUOTE, _LINE_FEED, _PLUS, _MINUS, _SPACE, _ZERO = b',"\n+- 0'
_AFTER_ODD_ZERO = np.isin(np.arange(256), np.frombuffer(b"0123456789xX", dtype=np.uint8))


def parse(
    data: bytes,
    names: Sequence[str],
    types: Mapping[str, pa.DataType],
    missing: Sequence[str],
    invalid: list[pyarrow.csv.InvalidRow],
    *,
    in_texts: bool = True,
) -> pa.Table:
    """Parse whole records without a header; only the columns of `types` are in the table.

    Rows with a wrong number of fields are put in `invalid` and left out. The texts in `missing`
    become nulls; `in_texts` says whether in columns of text, too.

    Raises:
        pyarrow.ArrowInvalid: a value does not fit its type.

    """
    if _BLANK.fullmatch(data):
        return pa.schema(types.items()).empty_table()

    def leave_out(row: pyarrow.csv.InvalidRow) -> str:
        invalid.append(row)
        return "skip"

    return pyarrow.csv.read_csv(
        pa.BufferReader(data),
        read_options=pyarrow.csv.ReadOptions(
            # Several threads would lose the numbers of invalid rows.
            use_threads=False,
            column_names=names,
            block_size=len(data) + 1,
        ),
        parse_options=pyarrow.csv.ParseOptions(
            newlines_in_values=True, invalid_row_handler=leave_out
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            include_columns=list(types),
            null_values=missing,
            strings_can_be_null=in_texts,
            quoted_strings_can_be_null=True,
            true_values=columns.TRUE_TEXTS,
            false_values=columns.FALSE_TEXTS,
        ),
    )


def has_odd_number(data: bytes) -> bool:
    """Tell whether some field may begin with a plus sign, a needless zero or a hex prefix.

    It is quick and may be wrong in one direction: it also says yes for such a text.
    """
    view = np.frombuffer(b"\n" + data[:_LOOK_AHEAD], dtype=np.uint8)
    if _has_odd_start(view):
        return True
    view = np.frombuffer(data, dtype=np.uint8)
    return any(
        _has_odd_start(view[start : start + _WINDOW_BYTES + _LOOK_AHEAD])
        for start in range(0, len(data), _WINDOW_BYTES)
    )


def _has_odd_start(view: npt.NDArray[np.uint8]) -> bool:
    """Look at the bytes behind each end of a field: `+`, `0d`, `0x`, or the latter two signed."""
    end, first = view[:-_LOOK_AHEAD], view[1 : 1 - _LOOK_AHEAD]
    starts = (end == _COMMA) | (end == _QUOTE) | (end == _LINE_FEED)
    starts &= (first == _ZERO) | (first == _PLUS) | (first == _MINUS) | (first == _SPACE)
    places = np.flatnonzero(starts) + 1
    if np.any(view[places] == _PLUS):
        return True
    zeros = places + (view[places] != _ZERO)
    zeros = zeros[view[zeros] == _ZERO]
    return bool(_AFTER_ODD_ZERO[view[zeros + 1]].any())
