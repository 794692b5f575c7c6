"""Encode rows as whole BSON documents whose ids the parent stamps in; runs in the child process.

Every document begins alike, so that the parent finds the id by offset arithmetic alone: four bytes
of length, then the element `_id`, an ObjectId of 12 zero bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from mysimbdp.sinks import cells, values
from mysimbdp.sinks.layout import Layout
from mysimbdp.sinks.values import EncodeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["EncodeError", "encode_keyed", "encode_records", "encode_table"]

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
_ID_ELEMENT = b"\x07_id\x00" + values.NO_ID.binary
#: Few enough that the bytes of a slice stay in the CPU's cache.
_SLICE_ROWS = 16_384


def encode_table(table: pa.Table) -> pa.LargeBinaryArray:
    """Encode each row as one document: `_id`, then the columns in their order, nulls left out.

    Times without a zone are taken as UTC; parts of a millisecond are cut off.

    Raises:
        EncodeError: a column's name or type, or a value, has no place in a document.

    """
    _check_names(table.column_names)
    slices = [
        _encode_slice(table, start) for start in range(0, max(table.num_rows, 1), _SLICE_ROWS)
    ]
    return pa.concat_arrays(slices)


def encode_records(
    records: Sequence[Mapping[str, Any] | None],
) -> tuple[pa.LargeBinaryArray, list[tuple[int, str]]]:
    """Encode each record as one document, and give the indices of those left out with a reason.

    None and NaN are missing values and left out, in subdocuments too; in lists they stay.
    """
    documents, unfit = [], []
    for index, record in enumerate(records):
        try:
            documents.append(_encode_record(record))
        except EncodeError as error:
            unfit.append((index, str(error)))
    return pa.array(documents, pa.large_binary()), unfit


def encode_keyed(record: Mapping[str, Any], key: str) -> tuple[bytes, bytes]:
    """Encode a record whose `_id` is the value of its field `key`: the `_id` alone, and all.

    Raises:
        EncodeError: the field is missing, or a value has no place in a document.

    """
    if not isinstance(record, dict) or record.get(key) is None:
        raise EncodeError(f"expected a record with the key {key}, found none")
    document = values.keyed_document(record, key)
    if len(document) > MAX_DOCUMENT_BYTES:
        raise EncodeError(_too_large(len(document)))
    return values.element("_id", record[key]), document


def _encode_slice(table: pa.Table, start: int) -> pa.LargeBinaryArray:
    part = table.slice(start, _SLICE_ROWS).combine_chunks()
    layout = Layout(part.num_rows)
    layout.fixed(_ID_ELEMENT)
    for name, column in zip(part.column_names, part.columns, strict=True):
        if part.num_rows:
            cells.add_column(layout, name, column.chunk(0))
    layout.fixed(b"\x00")
    too_large = np.flatnonzero(layout.lengths > MAX_DOCUMENT_BYTES)
    if len(too_large):
        row = int(too_large[0])
        raise EncodeError(f"row {start + row} of the batch: {_too_large(layout.lengths[row])}")
    return layout.join()


def _encode_record(record: Any) -> bytes:
    document = values.flat_document(record) or values.document(record)
    if len(document) > MAX_DOCUMENT_BYTES:
        raise EncodeError(_too_large(len(document)))
    return document


def _too_large(size: int) -> str:
    return f"expected a document of at most {MAX_DOCUMENT_BYTES} bytes, found {size}"


def _check_names(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name or "\x00" in name or name == "_id" or name in seen:
            raise EncodeError(
                f"column {name!r}: expected different names, not empty, without NUL and not _id"
            )
        seen.add(name)
