"""Read CSV as Arrow tables: comma, double quotes, a header line, UTF-8."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, BinaryIO

from mysimbdp.pipelines.readers import base, boundaries, columns, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mysimbdp.pipelines.readers.boundaries import Records


def read_blocks(stream: BinaryIO, options: base.ReadOptions) -> Iterator[base.Block]:
    """Read blocks of about 4 MB; undeclared types are inferred from the first one.

    Raises:
        BadContentError: the header is unusable, a quote is not closed, a record is too long.

    """
    reader: table.TableReader | None = None
    first_row = 0
    for records in boundaries.whole_records(stream):
        body = records
        if reader is None:
            header = records.first()
            if header is None:
                continue
            names = _names(records, header)
            body = records.after(header.stop)
            reader = table.TableReader.sampled(names, body.data, options)
        block = reader.read(body, first_row)
        first_row += block.rows_read
        if block.rows_read:
            yield block
    if reader is None:
        raise base.BadContentError("line 1: expected a header line, found an empty file")


def _names(records: Records, header: slice) -> list[str]:
    line = records.line_at(header.start)
    try:
        text = records.data[header].decode()
    except UnicodeDecodeError as error:
        byte = records.data[header][error.start]
        raise base.BadContentError(
            f"line {line}: expected UTF-8 text in the header, found the byte 0x{byte:02x}"
        ) from error
    names = next(csv.reader(io.StringIO(text, newline="")))
    _check_names(names, line)
    return names


def _check_names(names: list[str], line: int) -> None:
    seen: set[str] = set()
    for position, name in enumerate(names, start=1):
        if not name.strip():
            raise base.BadContentError(
                f"line {line}: expected a name for column {position}, found none"
            )
        if name in seen:
            raise base.BadContentError(
                f"line {line}: expected different column names, found {name!r} twice"
            )
        seen.add(name)
    if all(re.search(columns.NUMBER, name) for name in names):
        raise base.BadContentError(
            f"line {line}: expected a header line with column names, found only numbers"
        )
