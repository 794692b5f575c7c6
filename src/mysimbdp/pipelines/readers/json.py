"""Read JSON as records: an array of objects, one object a line, or a single object."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, BinaryIO

from mysimbdp.pipelines.readers import array, base, decoder, gather, scalars

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Line = tuple[int, bytes]


def read_blocks(stream: BinaryIO, options: base.ReadOptions) -> Iterator[base.Block]:
    """Read blocks of 10,000 records; the first character tells an array from lines.

    Raises:
        BadContentError: an array is malformed or broken off, a record is too long, or the file is
            neither an array nor objects.

    """
    chunks = _chunks(stream)
    head = base.without_byte_order_mark(next(chunks, b""))
    while not head.strip() and (more := next(chunks, b"")):
        head += more
    decode = decoder.Decoder(keep_exact_text=scalars.needs_exact_text(options))
    first, chunks = head.lstrip()[:1], itertools.chain([head], chunks)
    if first == b"[":
        items = array.items(chunks, decode)
    elif first == b"{":
        items = _line_items(_lines(chunks), decode)
    else:
        seen = base.found(first.decode(errors="replace")) if first else "an empty file"
        raise base.BadContentError(f"line 1: expected an array or an object, found {seen}")
    return gather.blocks(items, options)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(array.CHUNK_BYTES), b"")


def _lines(chunks: Iterable[bytes]) -> Iterator[_Line]:
    """Yield the number and the bytes of each line that is not blank."""
    number, rest = 0, b""
    for chunk in itertools.chain(chunks, [b"\n"]):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            if line.strip():
                yield number, line
        if len(rest) > base.MAX_RECORD_BYTES:
            raise base.BadContentError(
                f"line {number + 1}: expected a record of at most 16 MB, found no end of it"
            )


def _line_items(lines: Iterator[_Line], decode: decoder.Decoder) -> Iterator[gather.Item]:
    first = next(lines)
    if _is_opened_only(first[1], decode):
        yield _single(itertools.chain([first], lines), decode)
        return
    for number, line in itertools.chain([first], lines):
        yield _item(number, line, decode)


def _is_opened_only(line: bytes, decode: decoder.Decoder) -> bool:
    """Tell whether an object may go on in the next line, as in a pretty-printed file."""
    text = line.decode(errors="replace").rstrip()
    try:
        decode.decode(text, 0)
    except json.JSONDecodeError as error:
        return error.pos >= len(text)
    return False


def _single(lines: Iterable[_Line], decode: decoder.Decoder) -> gather.Item:
    number, text = 0, b""
    for at, line in lines:
        number = number or at
        text += line + b"\n"
        if len(text) > base.MAX_RECORD_BYTES:
            break
    item = _item(number, text, decode)
    if item.value is None:
        raise base.BadContentError(
            f"line {number}: expected an array, one object a line or a single object; {item.fault}"
        )
    return item


def _item(number: int, line: bytes, decode: decoder.Decoder) -> gather.Item:
    value, fault = None, None
    try:
        text = line.decode()
        start = len(text) - len(text.lstrip())
        value, end, fault = decode.decode(text, start)
        if text[end:].strip():
            value, fault = None, f"expected one value, found more behind column {end + 1}"
    except UnicodeDecodeError as error:
        fault = f"expected UTF-8 text, found byte 0x{line[error.start]:02x}"
    except json.JSONDecodeError as error:
        fault = f"expected JSON, found at column {error.colno}: {error.msg}"
    return gather.Item(
        line=number,
        size=len(line),
        value=value,
        fault=fault,
        raw=lambda: line[: 4 * base.MAX_RAW_CHARACTERS].decode(errors="backslashreplace"),
    )
