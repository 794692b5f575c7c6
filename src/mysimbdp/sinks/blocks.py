"""Insert many encoded documents with one message, as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import attrs
import numpy as np
import pymongo
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from mysimbdp import errors
from mysimbdp.pipelines.protocol import BadOutputError
from mysimbdp.sinks.drivers import translated

DUPLICATE_KEY = 11000
_INVALID_BSON = 22
#: The server takes at most 100,000 documents in one message.
MAX_MESSAGE_DOCUMENTS = 100_000
#: The driver takes a `_Block` for one document and so allows it 16 MB.
MAX_MESSAGE_BYTES = 16_000_000
#: A row that meets one of these is not bad: the server is in trouble, or does not let us in.
_SERVER_CODES = frozenset(
    {6, 7, 13, 18, 50, 64, 89, 91, 112, 133, 189, 262, 10058, 10107, 11600, 11602, 13435, 13436}
)


@attrs.frozen
class Problem:
    """A document that was not inserted: its place in the message, and why."""

    index: int
    code: int
    reason: str


class _Block(RawBSONDocument):
    """Many BSON documents, end to end, that the driver sends as one.

    An insert message carries its documents exactly so (OP_MSG, document sequence); the server
    counts them itself, and its count is checked. The driver copies the bytes as they are.
    """

    def __init__(self, documents: bytes) -> None:  # the base class would look for a single one
        self._raw = documents

    @property
    def raw(self) -> bytes:
        return self._raw


def messages(offsets: np.ndarray[Any, Any]) -> Iterator[tuple[int, int]]:
    """Cut a block into parts that one message can carry: index of the first and past the last."""
    first, total = 0, len(offsets) - 1
    while first < total:
        by_bytes = int(np.searchsorted(offsets, offsets[first] + MAX_MESSAGE_BYTES, "right")) - 1
        last = max(first + 1, min(by_bytes, first + MAX_MESSAGE_DOCUMENTS))
        yield first, last
        first = last


def insert(database: Database[Any], collection: str, part: bytes, count: int) -> list[Problem]:
    """Insert one message's documents, durably; return those that the database refused.

    Raises:
        BadOutputError: there are not `count` documents in it, or one is not valid inside.
        ServiceUnavailableError: the server did not acknowledge; the message may be sent again.

    """
    name = f"{database.name}.{collection}"
    with translated(f"storing rows in {name}"):
        reply = _command(database, collection, part)
    problems = [
        Problem(found["index"], found["code"], found.get("errmsg", "")[:300])
        for found in reply.get("writeErrors", [])
    ]
    if reply["n"] + len(problems) != count:
        raise BadOutputError(
            f"The child announced {count} documents and sent {reply['n'] + len(problems)}."
        )
    raise_for_server([problem.code for problem in problems], name)
    if "writeConcernError" in reply:
        raise _not_durable(name, reply["writeConcernError"].get("code"))
    return problems


def raise_for_server(codes: Iterable[int], name: str) -> None:
    """Raise if a document was refused for the server's trouble and not for its own.

    Raises:
        ServiceUnavailableError: send it again.

    """
    for code in codes:
        if code in _SERVER_CODES:
            raise _not_durable(name, code)


def _not_durable(name: str, code: int | None) -> errors.ServiceUnavailableError:
    return errors.ServiceUnavailableError(
        f"MongoDB could not make rows in {name} durable (code {code}); they are sent again.",
        code=code,
    )


def _command(database: Database[Any], collection: str, part: bytes) -> dict[str, Any]:
    try:
        return dict(
            database.command(
                {
                    "insert": collection,
                    "ordered": False,
                    "writeConcern": {"w": "majority", "j": True},
                    "documents": [_Block(part)],
                }
            )
        )
    except pymongo.errors.OperationFailure as error:
        if error.code == _INVALID_BSON:
            raise BadOutputError(
                "The child sent a document that is not valid BSON inside."
            ) from error
        raise
