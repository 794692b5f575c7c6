"""Encode rows as whole BSON documents whose ids the parent stamps in; runs in the child process.

Every document begins alike, so that the parent finds the id by offset arithmetic alone: four bytes
of length, then the element `_id`, an ObjectId of 12 zero bytes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import bson
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mysimbdp.sinks import cells, values
from mysimbdp.sinks.values import EncodeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["EncodeError", "encode_records", "encode_table"]

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
#: The `_id` element, and where it and its value are in each document.
ID_ELEMENT = b"\x07_id\x00" + bytes(12)
ID_ELEMENT_OFFSET = 4
#: Few enough that the pieces of a slice stay in the CPU's cache.
_SLICE_ROWS = 32_768
_NO_SEPARATOR = pa.scalar(b"", pa.large_binary())


def encode_table(table: pa.Table) -> pa.LargeBinaryArray:
    """Encode each row as one document: `_id`, then the columns in their order, nulls left out.

    Times without a zone are taken as UTC; parts of a millisecond are cut off.

    Raises:
        EncodeError: a column's name or type, or a value, has no place in a document.

    """
    _check_names(table.column_names)
    slices = [
        _encode_slice(table.slice(start, _SLICE_ROWS))
        for start in range(0, table.num_rows, _SLICE_ROWS)
    ]
    if not slices:
        return pa.array([], pa.large_binary())
    documents = pa.concat_arrays(slices) if len(slices) > 1 else slices[0]
    _check_sizes(documents)
    return documents


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


def _encode_record(record: Any) -> bytes:
    document = values.encode({"_id": values.NO_ID, **values.checked(record)})
    if len(document) > MAX_DOCUMENT_BYTES:
        raise EncodeError(
            f"expected a document of at most {MAX_DOCUMENT_BYTES} bytes, found {len(document)}"
        )
    return document


def _check_names(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name or "\x00" in name or name == "_id" or name in seen:
            raise EncodeError(
                f"expected columns with different names, without NUL and other than _id, found {name!r}"
            )
        seen.add(name)
