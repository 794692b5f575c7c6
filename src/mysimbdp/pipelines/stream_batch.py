"""Give a batch of messages to the tenant's function and account for every one; in the child."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import msgspec
import numpy as np
import pyarrow as pa

from mysimbdp import sdk
from mysimbdp.pipelines import code, stream_protocol, stream_result
from mysimbdp.pipelines.causes import Cause
from mysimbdp.pipelines.code import GivenUpError
from mysimbdp.pipelines.protocol import BadOutputError
from mysimbdp.pipelines.stream_protocol import Documents, Rejected
from mysimbdp.sinks.values import EncodeError

_EMPTY = "the message has no value"
_json = msgspec.json.Decoder(dict[str, Any])


@attrs.frozen
class Outcome:
    """What became of a batch: documents by collection, and the rejected messages."""

    documents: list[Documents]
    rejects: list[Rejected]


def transform(
    ingest: Callable[[Any], Any],
    messages: pa.RecordBatch,
    batch: str,
    keys: Mapping[str, str | None],
) -> Outcome:
    """Parse, call, check and encode.

    Raises:
        GivenUpError: the function's output is not what the contract says.

    """
    data, rows, rejects = _parse(messages, batch)
    if not len(rows):
        return Outcome([], _sorted(rejects))
    documents, refused = _call(ingest, data, keys)
    rejects |= {int(rows[index]): reason for index, reason in refused.items()}
    placed = [attrs.evolve(one, rows=rows[one.rows]) for one in documents]
    return Outcome(placed, _sorted(rejects))


def pack(documents: Documents) -> pa.Buffer:
    """Serialise one collection's part."""
    return stream_protocol.pack_documents(
        documents.collection,
        documents.rows,
        documents.documents,
        is_keyed=documents.is_keyed,
    )


def _sorted(rejects: Mapping[int, str]) -> list[Rejected]:
    return [Rejected(index=index, reason=reason) for index, reason in sorted(rejects.items())]


def _parse(
    messages: pa.RecordBatch, batch: str
) -> tuple[Any, np.ndarray[Any, Any], dict[int, str]]:
    """Give what the function gets, the place of each part in the batch, and what is unreadable."""
    if batch == "messages":
        return _whole(messages), np.arange(len(messages)), {}
    read = _text if batch == "lines" else _json.decode
    data: list[Any] = []
    rows, rejects = [], {}
    for index, value in enumerate(messages.column("value").to_pylist()):
        if value is None:
            rejects[index] = _EMPTY
            continue
        try:
            data.append(read(value))
            rows.append(index)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            rejects[index] = f"cannot be read: {error}"
    if batch == "arrow" and data:
        return _table(data), np.array(rows, dtype=np.int64), rejects
    return data, np.array(rows, dtype=np.int64), rejects


def _text(value: bytes) -> str:
    return value.decode()


def _table(records: list[dict[str, Any]]) -> pa.Table:
    try:
        return pa.Table.from_pylist(records, schema=_schema(records))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise GivenUpError(
            Cause.BAD_OUTPUT,
            f"The messages do not make a table: {error}. Register batch: records.",
        ) from error


def _schema(records: list[dict[str, Any]]) -> pa.Schema:
    """Take the columns of all records: from_pylist would look at the first one only."""
    names = dict.fromkeys(name for record in records for name in record)
    return pa.schema(
        [
            (name, pa.infer_type([record.get(name) for record in records], from_pandas=True))
            for name in names
        ]
    )


def _whole(messages: pa.RecordBatch) -> list[sdk.Message]:
    columns = [column.to_pylist() for column in messages.columns[:-1]]
    headers = [
        tuple((header["name"], header["value"]) for header in entry or ())
        for entry in messages.column("headers").to_pylist()
    ]
    return [sdk.Message(*values) for values in zip(*columns, headers, strict=True)]


def _call(
    ingest: Callable[[Any], Any], data: Any, keys: Mapping[str, str | None]
) -> tuple[list[Documents], dict[int, str]]:
    """Call for the batch; if that raises, message by message, to find the one it raises for."""
    try:
        return stream_result.account(ingest(data), len(data), keys)
    except MemoryError:
        raise
    except (BadOutputError, EncodeError) as error:
        raise GivenUpError(Cause.BAD_OUTPUT, str(error)) from error
    except Exception as error:  # noqa: BLE001 - the tenant's code may raise anything
        if len(data) == 1:
            traceback.print_exc(limit=-3)
            return [], {0: code.describe(error)}
    return _call_singly(ingest, data, keys)


def _call_singly(
    ingest: Callable[[Any], Any], data: Any, keys: Mapping[str, str | None]
) -> tuple[list[Documents], dict[int, str]]:
    parts: list[Documents] = []
    refused: dict[int, str] = {}
    for index in range(len(data)):
        single = data.slice(index, 1) if isinstance(data, pa.Table) else data[index : index + 1]
        documents, reasons = _call(ingest, single, keys)
        parts += [attrs.evolve(one, rows=np.array([index])) for one in documents]
        refused |= dict.fromkeys([index] if reasons else [], reasons.get(0, ""))
    return _joined(parts), refused


def _joined(parts: Sequence[Documents]) -> list[Documents]:
    joined = []
    for collection in dict.fromkeys(part.collection for part in parts):
        own = [part for part in parts if part.collection == collection]
        joined.append(
            attrs.evolve(
                own[0],
                rows=np.concatenate([part.rows for part in own]),
                documents=pa.concat_arrays([part.documents for part in own]),
            )
        )
    return joined
