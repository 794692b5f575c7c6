"""Walk through a JSON array of any length, item by item."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from typing import TYPE_CHECKING, NoReturn

from mysimbdp.pipelines.readers import base, decoder, gather

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1024 * 1024
_SPACE = re.compile(r"[ \t\r\n]*")


def items(chunks: Iterator[bytes], decode: decoder.Decoder) -> Iterator[gather.Item]:
    """Yield each item of the array that these bytes are.

    Raises:
        BadContentError: it is malformed, broken off, or followed by something else.

    """
    text = _Window(chunks)
    text.expect("[")
    number = 0
    while text.peek() != "]":
        if number:
            text.expect(",")
            text.peek()
        yield _item(text, number, decode)
        number += 1
    text.expect("]")
    if text.peek():
        text.fail("the end of the file", base.found(text.peek()))


def _item(text: _Window, number: int, decode: decoder.Decoder) -> gather.Item:
    while True:
        try:
            value, end, fault = decode.decode(text.text, text.place)
        except json.JSONDecodeError as error:
            if text.read_more():
                continue
            _fail_decoding(text, number, error)
        # A number at the very end may go on in the next chunk.
        if end < len(text.text) or not text.read_more():
            break
    if fault is None and not isinstance(value, dict):
        fault = f"expected an object, found {base.found(value)}"
    source = text.text[text.place : end]
    line = text.line
    text.move_to(end)
    return gather.Item(
        line=line,
        size=len(source),
        value=value,
        fault=f"item {number}: {fault}" if fault else None,
        raw=lambda: source,
    )


def _fail_decoding(text: _Window, number: int, error: json.JSONDecodeError) -> NoReturn:
    line = text.line + text.text.count("\n", text.place, error.pos)
    found = "the end of the file" if error.pos >= len(text.text.rstrip()) else error.msg
    raise base.BadContentError(f"line {line}: expected item {number} of the array, found {found}")


class _Window:
    """The part of the file that is being looked at; `place` is where the next thing begins."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.text = ""
        self.place = 0
        self.line = 1
        self._chunks = chunks
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._bytes_read = 0

    def peek(self) -> str:
        """Step over white space and show the next character, none at the end of the file."""
        while True:
            match = _SPACE.match(self.text, self.place)
            self.move_to(match.end() if match else self.place)
            if self.place < len(self.text) or not self.read_more():
                return self.text[self.place : self.place + 1]

    def expect(self, character: str) -> None:
        """Step over this character."""
        seen = self.peek()
        if seen != character:
            self.fail(repr(character), base.found(seen) if seen else "the end of the file")
        self.move_to(self.place + 1)

    def move_to(self, place: int) -> None:
        """Go on to a place further on."""
        self.line += self.text.count("\n", self.place, place)
        self.place = place

    def read_more(self) -> bool:
        """Forget what lies behind and double the rest; False at the end of the file."""
        left = len(self.text) - self.place
        chunk = b"".join(itertools.islice(self._chunks, 1 + left // CHUNK_BYTES))
        more = self._decoded(chunk)
        if not chunk:
            return False
        self.text, self.place = self.text[self.place :] + more, 0
        if len(self.text) > base.MAX_RECORD_BYTES:
            self.fail("an item of at most 16 MB", "no end of it")
        return True

    def fail(self, expected: str, found: str) -> NoReturn:
        """Say on which line what was expected and found."""
        raise base.BadContentError(f"line {self.line}: expected {expected}, found {found}")

    def _decoded(self, chunk: bytes) -> str:
        pending = len(self._decode.getstate()[0])
        try:
            text = self._decode.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            place = self._bytes_read - pending + error.start
            self.fail("UTF-8 text", f"a byte that is none, at byte {place} of the file")
        self._bytes_read += len(chunk)
        return text
