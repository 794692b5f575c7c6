"""What is in a file, by its first bytes: the name is never believed. Runs in the worker."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import stat
from pathlib import Path

import ijson
from lxml import etree

from mysimbdp.agreements.admission import Finding
from mysimbdp.agreements.model import FileType

PROBE_BYTES = 64 * 1024
_XML_STEP_BYTES = 4096

#: First bytes of what is never taken as data, whatever its name.
_MAGIC = tuple(
    (re.compile(pattern, re.DOTALL), what)
    for pattern, what in (
        (rb"\x7fELF", "an ELF program"),
        (rb"MZ.{0,1022}\0", "a Windows program"),
        (rb"#!", "a script with an interpreter line"),
        (rb"\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe", "a Mach-O program"),
        (rb"\0asm", "a WebAssembly program"),
        (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a ZIP archive"),
        (rb"\x1f\x8b", "gzip data"),
        (rb"BZh[1-9]1AY&SY", "bzip2 data"),
        (rb"\xfd7zXZ\0", "xz data"),
        (rb"\x28\xb5\x2f\xfd", "zstd data"),
        (rb"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (rb"Rar!\x1a\x07", "a RAR archive"),
        (rb".{257}ustar", "a tar archive"),
        (rb"%PDF-", "a PDF document"),
        (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
        (rb"\x89PNG\r\n", "a PNG image"),
        (rb"\xff\xd8\xff", "a JPEG image"),
        (rb"GIF8[79]a", "a GIF image"),
        (rb"SQLite format 3\0", "an SQLite database"),
        (rb"\x80[\x02-\x05]", "a Python pickle"),
        (rb"PAR1", "a Parquet file"),
        (rb"ARROW1\0", "an Arrow file"),
        (rb"Obj\x01", "an Avro file"),
        (rb"\xff\xfe|\xfe\xff", "UTF-16 text, where UTF-8 is read"),
    )
)
_HTML = re.compile(rb"<!doctype\s+html|<html[\s>]", re.IGNORECASE)


def probe(path: Path) -> Finding:
    """Look at the first 64 KiB of a file and tell what it is; links are not followed.

    Raises:
        OSError: the file cannot be opened or read.

    """
    # Without O_NONBLOCK, opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Finding(None, "something that is not a file")
        head = stream.read(PROBE_BYTES)
        return classify(head, is_whole=not stream.read(1))


def classify(head: bytes, *, is_whole: bool) -> Finding:
    """Tell what the first bytes of a file are; `is_whole` if there are no more."""
    for pattern, what in _MAGIC:
        if pattern.match(head):
            return Finding(None, what)
    if b"\0" in head:
        return Finding(None, f"binary data (a zero byte at offset {head.index(0)})")
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        return Finding(None, "nothing but white space" if head else "no bytes")
    if text.startswith(b"<"):
        return _xml(head, text, is_whole=is_whole)
    if text.startswith((b"{", b"[")):
        return _json(text, is_whole=is_whole)
    return _csv(head, is_whole=is_whole)


def _xml(head: bytes, text: bytes, *, is_whole: bool) -> Finding:
    if _HTML.match(text):
        return Finding(None, "an HTML page")
    parser = etree.XMLPullParser(
        events=("start",), resolve_entities=False, no_network=True, load_dtd=False
    )
    root = None
    try:
        # In steps, so that a document type is seen before its entities make much of a few bytes.
        for start in range(0, len(head), _XML_STEP_BYTES):
            parser.feed(head[start : start + _XML_STEP_BYTES])
            if root is None:
                root = _next_element(parser)
            if root is not None and root.getroottree().docinfo.doctype:
                break
        else:
            if is_whole:
                parser.close()
            if root is None:
                root = _next_element(parser)
    except etree.XMLSyntaxError as error:
        return Finding(None, f"XML that is not well formed ({_first_line(error)})")
    if root is None:
        return Finding(None, f"XML without an element in its first {PROBE_BYTES} bytes")
    if root.getroottree().docinfo.doctype:
        return Finding(None, "XML with a DOCTYPE, which is not accepted")
    return Finding(FileType.XML, "XML")


def _next_element(parser: etree.XMLPullParser) -> etree._Element | None:
    return next((element for _, element in parser.read_events()), None)


def _json(text: bytes, *, is_whole: bool) -> Finding:
    """Read as far as the bytes go; as they are pushed in, a cut-off end is no error."""
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, multiple_values=True)
    try:
        parser.send(text)
        if is_whole:
            parser.close()
    except ijson.JSONError as error:
        # After a first good record it is JSON; a bad one further on is for the reader to refuse.
        if not _has_record([event for event, _ in events]):
            return Finding(None, f"JSON that is not well formed ({_first_line(error)})")
    opened = [event for event, _ in events[:2]]
    if opened[0] == "start_map" or opened[1:] in ([], ["start_map"], ["end_array"]):
        return Finding(FileType.JSON, "JSON")
    return Finding(None, "a JSON array of something else than objects")


def _has_record(events: list[str]) -> bool:
    """Tell whether an object at the top, or in an array at the top, is complete."""
    top, depth = int(events[:1] == ["start_array"]), 0
    for event in events:
        depth += event.startswith("start_")
        depth -= event.startswith("end_")
        if event == "end_map" and depth == top:
            return True
    return False


def _csv(head: bytes, *, is_whole: bool) -> Finding:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        text = decoder.decode(head, final=is_whole)
    except UnicodeDecodeError as error:
        return Finding(None, f"bytes that are not UTF-8 text (at offset {error.start})")
    lines = io.StringIO(text, newline="")
    try:
        header = next((record for record in csv.reader(lines, strict=True) if record), [])
    except csv.Error:
        return Finding(None, "text whose first record has a broken quote")
    if lines.tell() == len(text) and not is_whole:
        return Finding(None, f"text whose first record is longer than {PROBE_BYTES} bytes")
    if not any(name.strip() for name in header):
        return Finding(None, "text without column names in its first record")
    return Finding(FileType.CSV, "CSV")


def _first_line(error: Exception) -> str:
    """Take what a parser says, without the piece of the document that it shows below."""
    said = error.args[0] if error.args else ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return text.partition("\n")[0].rstrip(". ")
