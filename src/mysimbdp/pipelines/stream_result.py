"""Match what a stream callable returns with the messages that it was given; in the child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mysimbdp import sdk
from mysimbdp.pipelines import accounting
from mysimbdp.pipelines.protocol import BadOutputError
from mysimbdp.pipelines.stream_protocol import Documents
from mysimbdp.sinks import encode

Accounted = tuple[list[Documents], dict[int, str]]


def account(output: Any, count: int, keys: Mapping[str, str | None]) -> Accounted:
    """Encode the documents of a batch of `count` messages; give the reasons of the others.

    Every message has a document in at least one collection, or it is rejected.

    Raises:
        BadOutputError: the output does not fit the messages.
        EncodeError: a column of a table has no place in a document.

    """
    rejects: dict[int, str] = {}
    if isinstance(output, sdk.Result):
        output, rejects = output.data, dict(output.rejects)
    if not isinstance(output, Mapping):
        raise BadOutputError(
            f"The callable returned {type(output).__name__}; expected documents by collection, "
            '{"collection": documents}, or sdk.Result of that.'
        )
    unknown = output.keys() - keys.keys()
    if unknown:
        raise BadOutputError(
            f"The callable returned documents for {min(map(str, unknown))}; registered "
            f"collections: {', '.join(keys)}."
        )
    if any(isinstance(part, pa.Table | pa.RecordBatch) for part in output.values()):
        return _account_tables(output, rejects, count, keys)
    return _account_lists(output, rejects, count, keys)


def _account_tables(
    output: Mapping[str, Any], rejects: dict[int, str], count: int, keys: Mapping[str, str | None]
) -> Accounted:
    documents = []
    for collection, table in _keyed_last(output, keys):
        accounted = accounting.account(sdk.Result(table, rejects), count)
        if isinstance(accounted.data, list):
            raise BadOutputError("The callable returned tables and lists; return one of them.")
        key = keys[collection]
        if key is None:
            part = Documents(
                collection=collection,
                is_keyed=False,
                rows=accounted.kept,
                documents=encode.encode_table(accounted.data),
            )
        else:
            part, unfit = _keyed(collection, key, accounted.kept, accounted.data.to_pylist())
            rejects |= unfit
        documents.append(part)
    if not output:
        rejects = {index: rejects.get(index, accounting.DROPPED) for index in range(count)}
    return _without(documents, rejects), rejects


def _account_lists(
    output: Mapping[str, Any], rejects: dict[int, str], count: int, keys: Mapping[str, str | None]
) -> Accounted:
    for collection, part in output.items():
        if not isinstance(part, list | tuple) or len(part) != count:
            size = len(part) if isinstance(part, list | tuple) else type(part).__name__
            raise BadOutputError(
                f"The callable was given {count} messages and returned {size} for {collection}; "
                "expected a list with one entry per message: a document, None or sdk.Reject."
            )
        for index, entry in enumerate(part):
            if type(entry) is sdk.Reject:
                rejects[index] = entry.reason
    has_document = np.zeros(count, dtype=bool)
    documents = []
    for collection, part in _keyed_last(output, keys):
        rows, records = _present(part, rejects)
        has_document[rows] = True
        encoded, unfit = _encoded(collection, keys[collection], rows, records)
        rejects |= unfit
        documents.append(encoded)
    for row in np.flatnonzero(~has_document):
        rejects.setdefault(int(row), accounting.DROPPED)
    return _without(documents, rejects), rejects


def _keyed_last(output: Mapping[str, Any], keys: Mapping[str, str | None]) -> list[tuple[str, Any]]:
    """Put keyed collections last: of each key only the last message counts that is not rejected."""
    return sorted(output.items(), key=lambda item: keys[item[0]] is not None)


def _present(
    part: Sequence[Any], rejects: Mapping[int, str]
) -> tuple[np.ndarray[Any, Any], list[Any]]:
    if not rejects and None not in part:
        return np.arange(len(part)), list(part)
    rows = [i for i, entry in enumerate(part) if entry is not None and i not in rejects]
    return np.array(rows, dtype=np.int64), [part[index] for index in rows]


def _encoded(
    collection: str, key: str | None, rows: np.ndarray[Any, Any], records: list[Any]
) -> tuple[Documents, dict[int, str]]:
    if key is not None:
        return _keyed(collection, key, rows, records)
    documents, unfit = encode.encode_records(records)
    left_out = {index for index, _ in unfit}
    kept = np.array([i for i in range(len(rows)) if i not in left_out], dtype=np.int64)
    part = Documents(
        collection=collection,
        is_keyed=False,
        rows=rows[kept] if left_out else rows,
        documents=documents,
    )
    return part, {int(rows[index]): reason for index, reason in unfit}


def _keyed(
    collection: str, key: str, rows: np.ndarray[Any, Any], records: list[Any]
) -> tuple[Documents, dict[int, str]]:
    """Encode documents under their own `_id`; of those with the same one, the last of the batch."""
    latest: dict[bytes, tuple[int, bytes]] = {}
    unfit: dict[int, str] = {}
    for row, record in zip(rows, records, strict=True):
        try:
            identity, document = encode.encode_keyed(record, key)
        except encode.EncodeError as error:
            unfit[int(row)] = str(error)
            continue
        latest.pop(identity, None)
        latest[identity] = (int(row), document)
    part = Documents(
        collection=collection,
        is_keyed=True,
        rows=np.array([row for row, _ in latest.values()], dtype=np.int64),
        documents=pa.array([document for _, document in latest.values()], pa.large_binary()),
    )
    return part, unfit


def _without(documents: list[Documents], rejects: Mapping[int, str]) -> list[Documents]:
    """Take rejected messages out of every collection: a message is stored whole or not at all."""
    refused = np.fromiter(rejects, dtype=np.int64, count=len(rejects))
    left = []
    for part in documents:
        stays = ~np.isin(part.rows, refused)
        if stays.all():
            left.append(part)
        else:
            kept = part.documents.filter(pa.array(stays))
            left.append(
                Documents(
                    collection=part.collection,
                    is_keyed=part.is_keyed,
                    rows=part.rows[stays],
                    documents=kept,
                )
            )
    return [part for part in left if len(part.rows)]
