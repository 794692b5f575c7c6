"""Read XML as records: one element a row, its attributes and children are the fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

from lxml import etree

from mysimbdp.pipelines.readers import base, gather, scalars

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The field for an element's own text where it has attributes or children too.
TEXT_FIELD = "text"


def read_blocks(stream: BinaryIO, options: base.ReadOptions) -> Iterator[base.Block]:
    """Read blocks of rows; text that no type is declared for stays text.

    Raises:
        BadContentError: the XML is not well-formed, declares a document type, has no element of
            the registered name, or a row that is too long.

    """
    return gather.blocks(_items(_Counted(stream), options), options)


class _Counted:
    """A stream that knows how much was read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.position = 0

    def read(self, size: int = -1) -> bytes:
        chunk = self._stream.read(size)
        self.position += len(chunk)
        return chunk


def _items(stream: _Counted, options: base.ReadOptions) -> Iterator[gather.Item]:
    events, before = _events(stream), 0
    try:
        for row in _rows(events, stream, options.xml_row):
            size, before = stream.position - before, stream.position
            yield _item(row, size, options)
    except etree.XMLSyntaxError as error:
        raise base.BadContentError(_describe(error, events)) from error


def _describe(error: etree.XMLSyntaxError, events: etree.iterparse) -> str:
    # The error itself often says no more than that nothing was found.
    line, message = next(
        ((entry.line, entry.message) for entry in events.error_log), (error.lineno, error.msg)
    )
    return f"line {line or 1}: expected well-formed XML, found: {message}"


def _events(stream: _Counted) -> etree.iterparse:
    return etree.iterparse(
        stream,
        events=("start", "end"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _rows(events: etree.iterparse, stream: _Counted, name: str | None) -> Iterator[etree._Element]:
    """Yield each row when it is complete, and free what has been read."""
    depth, row, opened, seen, elements = 0, None, 0, 0, 0
    for event, element in events:
        if event == "start":
            if not depth:
                _refuse_document_type(element)
            if row is None and (depth == 1 if name is None else _name(element.tag) == name):
                row, opened, seen = element, stream.position, seen + 1
            depth, elements = depth + 1, elements + 1
        else:
            depth -= 1
            if element is row:
                yield element
                row = None
            if row is None:
                _free(element)
        if row is not None and stream.position - opened > base.MAX_RECORD_BYTES:
            raise base.BadContentError(
                f"line {row.sourceline}: expected a row of at most 16 MB, found no end of it"
            )
    if name is not None and not seen and elements > 1:
        raise base.BadContentError(f"expected elements <{name}> as rows, found none")


def _refuse_document_type(root: etree._Element) -> None:
    if root.getroottree().docinfo.internalDTD is not None:
        raise base.BadContentError(
            "line 1: expected XML without a document type, found <!DOCTYPE; remove it"
        )


def _free(element: etree._Element) -> None:
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _item(row: etree._Element, size: int, options: base.ReadOptions) -> gather.Item:
    value = _value(row)
    record = value if isinstance(value, dict) else {TEXT_FIELD: value} if value else {}
    return gather.Item(
        line=row.sourceline,
        size=size,
        value={name: kept for name, kept in record.items() if not _is_missing(name, kept, options)},
        fault=None,
        raw=lambda: etree.tostring(row, encoding="unicode", with_tail=False),
    )


def _is_missing(name: str, value: Any, options: base.ReadOptions) -> bool:
    kind = options.columns.get(name, "inferred")
    return value is None or scalars.is_missing(value, kind, options.missing)


def _value(element: etree._Element) -> Any:
    """Make a subdocument, or a text where there are no attributes or children; None if empty."""
    fields: base.Record = {}
    for name, text in element.attrib.items():
        _add(fields, _name(name), text)
    for child in element:
        _add(fields, _name(child.tag), _value(child))
    if not fields:
        return element.text or None
    own = [element.text, *(child.tail for child in element)]
    text = " ".join(part.strip() for part in own if part and part.strip())
    if text:
        _add(fields, TEXT_FIELD, text)
    return fields


def _add(fields: base.Record, name: str, value: Any) -> None:
    if name not in fields:
        fields[name] = value
    elif isinstance(fields[name], list):
        fields[name].append(value)
    else:
        fields[name] = [fields[name], value]


def _name(tag: str) -> str:
    """Leave the name space out."""
    return tag.rpartition("}")[2]
