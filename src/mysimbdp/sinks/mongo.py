"""Write a file's documents and rejects to the tenant's database, each row once.

Ids come from the ledger's key and the row's ordinal, so that writing a block twice is harmless: a
duplicate `_id` is the same row again, and only that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np
import pymongo
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.database import Database

from mysimbdp import naming
from mysimbdp.pipelines.protocol import RejectedRow
from mysimbdp.sinks import blocks, ids
from mysimbdp.sinks.drivers import translated

_MAX_DELETE_IDS = 10_000


@attrs.frozen(kw_only=True)
class Written:
    """What became of a block: rows now stored by it, rows that were there before, rows refused."""

    stored: int
    replayed: int
    refused: tuple[RejectedRow, ...]


@attrs.define
class MongoSink:
    """The documents and rejects of one file, in one collection. Runs in the worker.

    Attributes:
        database: the tenant's, with the tenant's own login.
        key: the ledger's key of the file.
        ingestion: id of the ingestion, stamped on rejects.
        replaces: documents of an earlier ingestion of the same file are replaced.

    """

    database: Database[Any]
    collection: str
    key: bytes
    ingestion: str
    attempt: int
    file: str
    replaces: bool

    @property
    def documents(self) -> Collection[Any]:
        """Hold what is stored."""
        return self.database[self.collection]

    @property
    def rejects(self) -> Collection[Any]:
        """Hold what is not, with the reason."""
        return self.database[naming.REJECTS_COLLECTION]

    def write(self, rows: np.ndarray[Any, Any], documents: Any) -> Written:
        """Store a block of encoded documents.

        Raises:
            BadOutputError: the block is not what the encoder makes.
            ServiceUnavailableError: the server did not acknowledge; the block may be sent again.

        """
        data, offsets = ids.stamp(self.key, rows, documents)
        totals = Written(stored=0, replayed=0, refused=())
        for first, last in blocks.messages(offsets):
            part = data[offsets[first] : offsets[last]].tobytes()
            send = self._replace if self.replaces else self._insert
            written = send(part, rows[first:last], offsets[first : last + 1] - offsets[first])
            totals = Written(
                stored=totals.stored + written.stored,
                replayed=totals.replayed + written.replayed,
                refused=totals.refused + written.refused,
            )
        return totals

    def _insert(
        self, part: bytes, rows: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]
    ) -> Written:
        count = len(offsets) - 1
        problems = blocks.insert(self.database, self.collection, part, count)
        replayed = self._find_replayed(problems, rows)
        refused = tuple(
            _refuse(int(rows[problem.index]), problem.reason)
            for problem in problems
            if int(rows[problem.index]) not in replayed
        )
        return Written(stored=count - len(problems), replayed=len(replayed), refused=refused)

    def _find_replayed(
        self, problems: Iterable[blocks.Problem], rows: np.ndarray[Any, Any]
    ) -> set[int]:
        """Tell which duplicates are this file's own rows, stored before.

        A duplicate in a unique index of the tenant's own is not: that row is refused.
        """
        duplicates = {
            ids.document_id(self.key, ordinal): ordinal
            for ordinal in (
                int(rows[problem.index])
                for problem in problems
                if problem.code == blocks.DUPLICATE_KEY
            )
        }
        if not duplicates:
            return set()
        with translated(f"looking for rows stored before in {self.documents.full_name}"):
            present = self.documents.find(
                {"_id": {"$in": list(duplicates)}}, projection={"_id": True}
            )
            return {duplicates[document["_id"]] for document in present}

    def _replace(
        self, part: bytes, rows: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]
    ) -> Written:
        """Put the documents in the place of those of an earlier ingestion."""
        operations: list[pymongo.ReplaceOne[Any]] = [
            pymongo.ReplaceOne(
                {"_id": ids.document_id(self.key, int(row))},
                RawBSONDocument(part[first:last]),
                upsert=True,
            )
            for row, first, last in zip(rows, offsets[:-1], offsets[1:], strict=True)
        ]
        refused: tuple[RejectedRow, ...] = ()
        with translated(f"replacing rows in {self.documents.full_name}"):
            try:
                result = self.documents.bulk_write(operations, ordered=False).bulk_api_result
            except pymongo.errors.BulkWriteError as error:
                result = dict(error.details)
                codes = [problem["code"] for problem in result["writeErrors"]]
                blocks.raise_for_server(codes, self.documents.full_name)
                refused = tuple(
                    _refuse(int(rows[problem["index"]]), problem.get("errmsg", "")[:300])
                    for problem in result["writeErrors"]
                )
        return Written(stored=result["nUpserted"], replayed=result["nMatched"], refused=refused)

    def reject(self, rejected: Sequence[RejectedRow]) -> None:
        """Keep rows that are not stored, with file, line and reason; take back stored ones.

        A row that an earlier attempt stored and this one refuses must not be in both places.
        """
        if not rejected:
            return
        now_refused = [ids.document_id(self.key, row.row) for row in rejected]
        operations: list[pymongo.ReplaceOne[Any]] = [
            pymongo.ReplaceOne({"_id": identity}, self._describe(identity, row), upsert=True)
            for identity, row in zip(now_refused, rejected, strict=True)
        ]
        with translated(f"keeping rejected rows in {self.rejects.full_name}"):
            self.rejects.bulk_write(operations, ordered=False)
            for start in range(0, len(now_refused), _MAX_DELETE_IDS):
                batch = now_refused[start : start + _MAX_DELETE_IDS]
                self.documents.delete_many({"_id": {"$in": batch}})

    def _describe(self, identity: ObjectId, row: RejectedRow) -> dict[str, Any]:
        return {
            "_id": identity,
            "ingestion": self.ingestion,
            "attempt": self.attempt,
            "collection": self.collection,
            "file": self.file,
            "row": row.row,
            "line": row.line,
            "field": row.field,
            "reason": row.reason,
            "raw": row.raw,
        }

    def tidy(self) -> None:
        """Forget rejects of earlier attempts at this file: those rows are stored now."""
        with translated(f"tidying {self.rejects.full_name}"):
            self.rejects.delete_many(
                {
                    "_id": ids.id_range(self.key),
                    "$or": [
                        {"ingestion": {"$ne": self.ingestion}},
                        {"attempt": {"$ne": self.attempt}},
                    ],
                }
            )

    def count(self) -> tuple[int, int]:
        """Count the file's stored and rejected rows as the database has them."""
        with translated(f"counting rows in {self.documents.full_name}"):
            query = {"_id": ids.id_range(self.key)}
            return self.documents.count_documents(query), self.rejects.count_documents(query)

    def undo(self) -> None:
        """Take back the stored rows of a failed ingestion; the rejects stay, they explain it."""
        with translated(f"taking back rows from {self.documents.full_name}"):
            self.documents.delete_many({"_id": ids.id_range(self.key)})


def _refuse(row: int, reason: str) -> RejectedRow:
    return RejectedRow(
        row=row,
        line=None,
        field=None,
        reason=f"refused by the database: {reason}",
        raw=None,
    )
