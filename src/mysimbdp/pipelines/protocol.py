"""What crosses the pipe from the child to the platform: framed, bounded, never pickled.

A frame is one kind byte, eight bytes of length, and the payload. Documents travel as an Arrow IPC
stream with the columns `row` (int64, the row's ordinal in the file) and `document` (one BSON
document with an empty `_id`); everything else is JSON.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum
from typing import Any, BinaryIO, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from mysimbdp import errors

T = TypeVar("T")

MAX_FRAME_BYTES = 512 * 1024 * 1024
_HEADER = struct.Struct("!cQ")
_DOCUMENTS_SCHEMA = pa.schema([("row", pa.int64()), ("document", pa.large_binary())])


class Kind(Enum):
    """What a frame carries; messages go to the child, all others come from it."""

    MESSAGES = b"M"
    DOCUMENTS = b"D"
    REJECTS = b"R"
    END = b"E"
    FAILURE = b"F"


class BadOutputError(errors.TerminalError):
    """The child's output does not follow the protocol."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the child is asked to do; it travels on the command line and holds no secret.

    Attributes:
        folder: the tenant's code folder.
        entry: `module:function` of a managed callable, or the script's file name.
        arguments: positional arguments of a script.
        input_descriptor: pipe with the file's bytes; -1 for a script.
        output_descriptor: pipe for frames; -1 for a script.
        parent: process id of the platform's process, to notice that it is gone already.

    """

    folder: str
    entry: str
    is_script: bool
    arguments: tuple[str, ...] = ()
    file_format: str = ""
    batch: str = "arrow"
    columns: dict[str, str] = {}
    missing: tuple[str, ...] = ("",)
    xml_row: str | None = None
    input_descriptor: int = -1
    output_descriptor: int = -1
    memory_bytes: int
    parent: int


class RejectedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row that will not be stored."""

    row: int
    line: int | None
    field: str | None
    reason: str
    raw: str | None


class End(msgspec.Struct, frozen=True, kw_only=True):
    """The child's closing word; without it nothing counts as complete.

    The platform compares `rows_read` with what the database holds.
    """

    rows_read: int


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why the child gave up."""

    cause: str
    message: str


def write_frame(stream: BinaryIO, kind: Kind, payload: bytes | pa.Buffer) -> None:
    """Send one frame. Runs in the child."""
    stream.write(_HEADER.pack(kind.value, len(payload)))
    stream.write(payload)


def pack_documents(rows: np.ndarray[Any, Any], documents: pa.LargeBinaryArray) -> pa.Buffer:
    """Serialise a block of documents. Runs in the child."""
    batch = pa.record_batch([pa.array(rows, pa.int64()), documents], schema=_DOCUMENTS_SCHEMA)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, _DOCUMENTS_SCHEMA) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def unpack_documents(payload: bytes) -> tuple[np.ndarray[Any, Any], pa.LargeBinaryArray]:
    """Read a block of documents and check its structure.

    Raises:
        BadOutputError: the payload is not such a block.

    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
            if reader.schema != _DOCUMENTS_SCHEMA:
                raise BadOutputError(
                    f"The child sent columns {reader.schema.names}, expected row and document."
                )
            (batch,) = list(reader)
        batch.validate(full=True)
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise BadOutputError(f"The child sent a block that cannot be read: {error}.") from error
    if batch.column("row").null_count or batch.column("document").null_count:
        raise BadOutputError("The child sent a block with missing rows.")
    return batch.column("row").to_numpy(), batch.column("document")


def read_frames(stream: BinaryIO) -> Iterator[tuple[Kind, bytes]]:
    """Yield the child's frames until it closes the pipe. Runs in the platform's process.

    Raises:
        BadOutputError: a frame is of no known kind, too long, or cut off.

    """
    while header := stream.read(_HEADER.size):
        if len(header) < _HEADER.size:
            raise BadOutputError("The child's output ends in the middle of a frame.")
        code, length = _HEADER.unpack(header)
        try:
            kind = Kind(code)
        except ValueError:
            raise BadOutputError(
                f"The child sent a frame of kind {code!r}, which does not exist."
            ) from None
        if length > MAX_FRAME_BYTES:
            raise BadOutputError(
                f"The child announced a frame of {length} bytes; at most {MAX_FRAME_BYTES}."
            )
        payload = stream.read(length)
        if len(payload) < length:
            raise BadOutputError("The child's output ends in the middle of a frame.")
        yield kind, payload


def decode(payload: bytes, kind: type[T]) -> T:
    """Read a JSON payload.

    Raises:
        BadOutputError: it is not of that form.

    """
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.MsgspecError as error:
        raise BadOutputError(f"The child sent a message that cannot be read: {error}.") from error
