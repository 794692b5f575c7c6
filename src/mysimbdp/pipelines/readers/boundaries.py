"""Where the records of a CSV text begin and end, quotes and quoted line ends respected."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from mysimbdp.pipelines.readers import base

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 4 * 1024 * 1024

_COMMA, _QUOTE, _LINE_FEED, _RETURN = b',"\n\r'
_FIELD = rb'(?:"[^"]*+(?:""[^"]*+)*+"[^,\r\n]*+|(?!")[^,\r\n]*+)'
_RECORD = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+(?:\r\n|\n|\r)")


class Records:
    """A stretch of a file that holds whole records only.

    Lines and places are counted when the first one is asked for.
    """

    def __init__(self, data: bytes, first_line: int) -> None:
        self.data = data
        self.first_line = first_line

    @functools.cached_property
    def lines(self) -> int:
        """Count the line ends."""
        return int(np.count_nonzero(_bytes(self.data) == _LINE_FEED))

    def first(self) -> slice | None:
        """Give the place of the first record, None if all lines are blank."""
        return slice(int(self._starts[0]), int(self._ends[0])) if len(self._starts) else None

    def after(self, place: int) -> Records:
        """Give the records from this place on."""
        return Records(self.data[place:], self.line_at(place))

    def line_at(self, place: int) -> int:
        """Tell the line, from 1 at the start of the file, of a place in `data`."""
        return self.first_line + self.data.count(b"\n", 0, place)

    def line(self, record: int) -> int | None:
        """Tell the line, from 1 at the start of the file, on which a record begins."""
        if record >= len(self._starts):
            return None
        return self.first_line + int(np.searchsorted(self._line_ends, self._starts[record]))

    def text(self, record: int) -> str:
        """Quote the source of a record, without its line end."""
        if record >= len(self._starts):
            return ""
        # Cut before decoding: a character has at most four bytes.
        start = self._starts[record]
        end = min(self._ends[record], start + 4 * base.MAX_RAW_CHARACTERS)
        return self.data[start:end].decode(errors="backslashreplace").rstrip("\r\n")

    @functools.cached_property
    def _line_ends(self) -> base.Rows:
        return np.flatnonzero(_bytes(self.data) == _LINE_FEED)

    @functools.cached_property
    def _spans(self) -> tuple[base.Rows, base.Rows]:
        ends = record_ends(self.data)
        starts = np.concatenate(([0], ends[:-1])).astype(np.int64) if len(ends) else ends
        first = _bytes(self.data)[starts]
        blank = (first == _LINE_FEED) | (first == _RETURN)
        return starts[~blank], ends[~blank]

    @property
    def _starts(self) -> base.Rows:
        return self._spans[0]

    @property
    def _ends(self) -> base.Rows:
        return self._spans[1]


def whole_records(stream: BinaryIO) -> Iterator[Records]:
    """Cut a file into stretches of about 4 MB at ends of records.

    Raises:
        BadContentError: a record is longer than 16 MB, or a quote is never closed.

    """
    rest, line = base.without_byte_order_mark(_read_full(stream)), 1
    while rest:
        chunk = _read_full(stream)
        if not chunk:
            yield _last_records(rest, line)
            return
        end = _last_boundary(rest)
        if end:
            records = Records(rest[:end], line)
            line += records.lines
            yield records
        elif len(rest) > base.MAX_RECORD_BYTES:
            raise base.BadContentError(
                f"line {line}: expected a record of at most 16 MB, found no end of it; "
                "is a quote not closed?"
            )
        rest = rest[end:] + chunk


def record_ends(data: bytes) -> base.Rows:
    """Give the offset behind each complete record."""
    if data.count(b"\r") == data.count(b"\r\n"):
        view = _bytes(data)
        quotes = np.flatnonzero(view == _QUOTE)
        if _well_quoted(view, quotes):
            line_feeds = np.flatnonzero(view == _LINE_FEED)
            outside = np.searchsorted(quotes, line_feeds) % 2 == 0
            ends: base.Rows = line_feeds[outside] + 1
            return ends
    return _scanned_ends(data)


def _well_quoted(view: np.ndarray, quotes: base.Rows) -> bool:
    """Tell whether every opening quote stands where a field begins, so that counting is enough."""
    opening = quotes[::2]
    before = view[opening[opening > 0] - 1]
    starts_field = (before == _COMMA) | (before == _LINE_FEED)
    doubled = before == _QUOTE
    return bool(np.all(starts_field | doubled))


def _scanned_ends(data: bytes) -> base.Rows:
    scanner = _RECORD.scanner(data)  # type: ignore[attr-defined]  # missing in typeshed
    ends = [match.end() for match in iter(scanner.match, None)]
    return np.array(ends, dtype=np.int64)


def _last_boundary(data: bytes) -> int:
    """Give the end of the last record that is surely complete, 0 if there is none."""
    end = data.rfind(b"\n") + 1
    if np.count_nonzero(_bytes(data)[:end] == _QUOTE) % 2 == 0:
        return end
    ends = record_ends(data)
    # A return at the very end may be the first half of a line end.
    sure = ends[(ends < len(data)) | (_bytes(data)[ends - 1] == _LINE_FEED)]
    return int(sure[-1]) if len(sure) else 0


def _last_records(data: bytes, line: int) -> Records:
    if not data.endswith(b"\n"):
        data += b"\n"
    end = _last_boundary(data)
    if end < len(data):
        opened = line + data.count(b"\n", 0, end)
        raise base.BadContentError(
            f"line {opened}: expected the end of a quoted field, found the end of the file"
        )
    return Records(data, line)


def _read_full(stream: BinaryIO) -> bytes:
    """Read a whole block although a pipe hands out less."""
    parts, wanted = [], BLOCK_BYTES
    while wanted and (part := stream.read(wanted)):
        parts.append(part)
        wanted -= len(part)
    return b"".join(parts)


def _bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, dtype=np.uint8)
