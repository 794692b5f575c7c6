"""What crosses the pipes between an instance and the child with the tenant's stream code.

Frames are those of `protocol`. The instance sends one frame of messages a batch; the child answers
with documents (one frame a collection), rejects, and an end. Messages and documents travel as
Arrow IPC streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import msgspec
import numpy as np
import pyarrow as pa

from mysimbdp.pipelines.protocol import BadOutputError

_VALUES = pa.schema([("value", pa.large_binary())])
_HEADERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
_WHOLE = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.int64()),
        ("key", pa.large_binary()),
        ("value", pa.large_binary()),
        ("headers", _HEADERS),
    ]
)
_DOCUMENTS = pa.schema([("row", pa.int64()), ("document", pa.large_binary())])
_COLLECTION, _KEYED = b"collection", b"keyed"


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child is asked to do; it travels on the command line and holds no secret.

    Attributes:
        folder: the tenant's code folder.
        entry: `module:function`.
        batch: what the function gets.
        keys: collection -> the field that names its documents, or None.
        input_descriptor: pipe with batches of messages.
        output_descriptor: pipe for frames.
        parent: process id of the instance, to notice that it is gone already.

    """

    folder: str
    entry: str
    batch: str
    keys: dict[str, str | None]
    input_descriptor: int
    output_descriptor: int
    memory_bytes: int
    parent: int


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a batch that is not stored, by its place in the batch."""

    index: int
    reason: str


class BatchEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The child's word that a batch is complete."""

    messages: int
    kept: int


@attrs.frozen(kw_only=True)
class Documents:
    """What goes to one collection: documents, and of which messages of the batch they come.

    Keyed documents carry their own `_id`; the others leave a hole for it.
    """

    collection: str
    is_keyed: bool
    rows: np.ndarray[Any, Any]
    documents: pa.LargeBinaryArray


def pack_values(values: Sequence[bytes | None]) -> pa.Buffer:
    """Serialise the values of a batch. Runs in the instance."""
    return _pack(pa.record_batch([pa.array(values, pa.large_binary())], schema=_VALUES))


def pack_messages(columns: Sequence[Sequence[Any]]) -> pa.Buffer:
    """Serialise whole messages, given as the columns of `sdk.Message`. Runs in the instance."""
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _WHOLE, strict=True)]
    return _pack(pa.record_batch(arrays, schema=_WHOLE))


def unpack_messages(payload: bytes) -> pa.RecordBatch:
    """Read a batch, by values or whole. Runs in the child, which trusts the instance."""
    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        return reader.read_next_batch()


def pack_documents(
    collection: str, rows: np.ndarray[Any, Any], documents: pa.LargeBinaryArray, *, is_keyed: bool
) -> pa.Buffer:
    """Serialise the documents of one collection. Runs in the child."""
    schema = _DOCUMENTS.with_metadata({_COLLECTION: collection, _KEYED: b"1" if is_keyed else b""})
    return _pack(pa.record_batch([pa.array(rows, pa.int64()), documents], schema=schema))


def unpack_documents(payload: bytes) -> Documents:
    """Read and check the documents of one collection. Runs in the instance.

    Raises:
        BadOutputError: the payload is not what `pack_documents` makes.

    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
            if reader.schema != _DOCUMENTS or not reader.schema.metadata:
                raise BadOutputError("The child sent other columns than row and document.")
            metadata = reader.schema.metadata
            (batch,) = list(reader)
        batch.validate(full=True)
        rows = batch.column("row").to_numpy()
        collection = metadata[_COLLECTION].decode()
    except (pa.ArrowInvalid, OSError, ValueError, KeyError) as error:
        raise BadOutputError(f"The child sent a block that cannot be read: {error}.") from error
    if batch.column("row").null_count or batch.column("document").null_count:
        raise BadOutputError("The child sent a block with missing rows.")
    return Documents(
        collection=collection,
        is_keyed=bool(metadata.get(_KEYED)),
        rows=rows,
        documents=batch.column("document"),
    )


def _pack(batch: pa.RecordBatch) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()
