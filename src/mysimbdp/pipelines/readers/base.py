"""What every reader takes and gives: options, blocks of rows, rows it had to reject."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from mysimbdp import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

MAX_RECORD_BYTES = 16 * 1024 * 1024
MAX_RAW_CHARACTERS = 1000
MAX_FOUND_CHARACTERS = 80

_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = re.compile(rb"\xff\xfe|\xfe\xff")

Rows = npt.NDArray[np.int64]
Record = dict[str, Any]


class BadContentError(errors.TerminalError):
    """The file as a whole cannot be read."""


@attrs.frozen(kw_only=True)
class ReadOptions:
    """What a registration says about reading.

    Attributes:
        columns: column to type: string, int64, float64, bool, date, timestamp or decimal.
        missing: texts that stand for "no value"; the empty text always does.
        xml_row: the element that is one row; None means each child of the root.

    """

    columns: Mapping[str, str] = attrs.Factory(dict)
    missing: tuple[str, ...] = ("",)
    xml_row: str | None = None


def _shorten(text: str) -> str:
    return text[:MAX_RAW_CHARACTERS]


@attrs.frozen(kw_only=True)
class RowReject:
    """One row of the file that cannot be kept.

    Attributes:
        row: which row of the file, from 0.
        line: which line of the file, from 1; None where the format does not tell.
        field: the column at fault; None if it is the row as a whole.
        reason: what was expected and what was found.
        raw: the row's source text, at most 1,000 characters.

    """

    row: int
    line: int | None
    field: str | None
    reason: str
    raw: str = attrs.field(converter=_shorten)


@attrs.frozen(kw_only=True, eq=False)
class Block:
    """Some neighbouring rows of a file.

    Attributes:
        rows: for each row of `data`, which row of the file it was, from 0; int64.
        data: an Arrow table (CSV) or one dict a row (JSON, XML).
        rejects: the rows of this stretch that are not in `data`.
        line_of: index into `rows` -> line of the file, from 1, or None; counted when asked for.

    """

    rows: Rows
    data: pa.Table | list[Record]
    rejects: Sequence[RowReject]
    line_of: Callable[[int], int | None]

    @property
    def rows_read(self) -> int:
        """Count the rows of the file that this block stands for."""
        return len(self.rows) + len(self.rejects)


def found(value: object) -> str:
    """Quote a value for a reason, shortened."""
    return shortened(repr(value))


def shortened(text: str) -> str:
    """Keep the beginning of a long text."""
    return text if len(text) <= MAX_FOUND_CHARACTERS else f"{text[:MAX_FOUND_CHARACTERS]}…"


def without_byte_order_mark(start: bytes) -> bytes:
    """Take the mark off the first bytes of a file.

    Raises:
        BadContentError: the mark says that this is not UTF-8.

    """
    if _OTHER_MARKS.match(start):
        raise BadContentError("line 1: expected UTF-8 text, found UTF-16; save the file as UTF-8")
    return start.removeprefix(_UTF8_MARK)
