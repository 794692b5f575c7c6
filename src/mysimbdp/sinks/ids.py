"""Deterministic document ids: the ledger's key of the file, then the row's ordinal in it.

Twelve bytes, so an id is an ordinary ObjectId; a file's documents lie side by side in the `_id`
index and can be counted, replaced and taken back as one range.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from bson import ObjectId

from mysimbdp.pipelines.protocol import BadOutputError

KEY_BYTES = 7
_ORDINAL_BYTES = 5
MAX_ORDINAL = 2 ** (8 * _ORDINAL_BYTES) - 1

#: How every document from the encoder begins, after its length: an ObjectId field named `_id`.
_HEAD = np.frombuffer(b"\x07_id\x00", dtype=np.uint8)
_ID_START = 9
_MIN_DOCUMENT_BYTES = 22


def document_id(key: bytes, ordinal: int) -> ObjectId:
    """Make the id of one row."""
    return ObjectId(key + ordinal.to_bytes(_ORDINAL_BYTES, "big"))


def id_range(key: bytes) -> dict[str, ObjectId]:
    """Make the query that finds all documents of a file by `_id`."""
    return {"$gte": document_id(key, 0), "$lte": document_id(key, MAX_ORDINAL)}


def stamp(
    key: bytes, rows: np.ndarray[Any, Any], documents: pa.LargeBinaryArray
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Copy a block of documents and write each one's id into its hole.

    Returns:
        The documents as one byte array, and the offsets of each (one more than documents).

    Raises:
        BadOutputError: a document is not framed as BSON with an empty `_id` first, or an ordinal
            is negative, too large, or not greater than the one before.

    """
    if len(rows) and (rows[0] < 0 or rows[-1] > MAX_ORDINAL or (np.diff(rows) <= 0).any()):
        raise BadOutputError("The child sent rows out of order, twice, or with impossible numbers.")
    keys = np.broadcast_to(np.frombuffer(key, dtype=np.uint8), (len(rows), KEY_BYTES))
    return stamp_ids(make_ids(keys, rows), documents)


def make_ids(keys: np.ndarray[Any, Any], ordinals: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Put ids together: a key and an ordinal a row; twelve bytes a row come back."""
    ids = np.empty((len(ordinals), KEY_BYTES + _ORDINAL_BYTES), dtype=np.uint8)
    ids[:, :KEY_BYTES] = keys
    words = ordinals.astype(">u8").view(np.uint8).reshape(-1, 8)
    ids[:, KEY_BYTES:] = words[:, 8 - _ORDINAL_BYTES :]
    return ids


def stamp_ids(
    ids: np.ndarray[Any, Any], documents: pa.LargeBinaryArray
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Copy a block of documents and write each one's given id into its hole.

    Returns:
        The documents as one byte array, and the offsets of each (one more than documents).

    Raises:
        BadOutputError: a document is not framed as BSON with an empty `_id` first.

    """
    offsets, data = _buffers(documents)
    starts, ends = offsets[:-1], offsets[1:]
    if (ends - starts < _MIN_DOCUMENT_BYTES).any():
        raise BadOutputError("The child sent a document that is too short.")
    lengths = _read_lengths(data, starts)
    framed = (lengths == ends - starts) & (data[ends - 1] == 0)
    heads = data[starts[:, None] + np.arange(4, _ID_START)]
    if not framed.all() or not (heads == _HEAD).all():
        raise BadOutputError("The child sent a document that is not framed as agreed.")
    data[starts[:, None] + np.arange(_ID_START, _ID_START + KEY_BYTES + _ORDINAL_BYTES)] = ids
    return data, offsets


def _buffers(
    documents: pa.LargeBinaryArray,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    _, offset_buffer, value_buffer = documents.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64, count=len(documents) + 1)
    offsets = offsets if documents.offset == 0 else _sliced_offsets(documents, offset_buffer)
    data = np.frombuffer(value_buffer or b"", dtype=np.uint8)[offsets[0] : offsets[-1]].copy()
    return offsets - offsets[0], data


def _sliced_offsets(documents: pa.LargeBinaryArray, buffer: pa.Buffer) -> np.ndarray[Any, Any]:
    first = documents.offset
    return np.frombuffer(buffer, dtype=np.int64)[first : first + len(documents) + 1]


def _read_lengths(data: np.ndarray[Any, Any], starts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    words = data[starts[:, None] + np.arange(4)].astype(np.int64)
    return words @ np.array([1, 2**8, 2**16, 2**24], dtype=np.int64)
