"""Write the documents and rejects of messages to the tenant's database, each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import bson
import numpy as np
import pyarrow as pa
import pymongo
from bson import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from mysimbdp import naming
from mysimbdp.sinks import blocks, ids
from mysimbdp.sinks.drivers import translated

_MAX_IDS = 10_000
_CONCERN = pymongo.WriteConcern(w="majority", j=True)


@attrs.frozen
class StreamSink:
    """A tenant's database, with the tenant's own login. Runs in the instance, in several threads.

    Rows are places in a batch, `identities` the twelve bytes of the id of each message in it.
    """

    database: Database[Any]

    def insert(
        self,
        collection: str,
        identities: np.ndarray[Any, Any],
        rows: np.ndarray[Any, Any],
        documents: pa.LargeBinaryArray,
    ) -> dict[int, str]:
        """Store documents under their messages' ids; return the rows that the database refuses.

        A message that was stored before is not stored again, and not refused.

        Raises:
            BadOutputError: the documents are not what the encoder makes.
            ServiceUnavailableError: the server did not acknowledge; they may be sent again.

        """
        data, offsets = ids.stamp_ids(identities[rows], documents)
        refused: dict[int, str] = {}
        for first, last in blocks.messages(offsets):
            part = data[offsets[first] : offsets[last]].tobytes()
            problems = blocks.insert(self.database, collection, part, last - first)
            problem_rows = [int(rows[first + problem.index]) for problem in problems]
            stored = self._find_stored(collection, identities, problems, problem_rows)
            refused |= {
                row: f"refused by the database: {problem.reason}"
                for row, problem in zip(problem_rows, problems, strict=True)
                if row not in stored
            }
        return refused

    def _find_stored(
        self,
        collection: str,
        identities: np.ndarray[Any, Any],
        problems: Sequence[blocks.Problem],
        rows: Sequence[int],
    ) -> set[int]:
        """Tell which duplicates are these very messages; those of a tenant's own index are not."""
        duplicates = {
            ObjectId(identities[row].tobytes()): row
            for row, problem in zip(rows, problems, strict=True)
            if problem.code == blocks.DUPLICATE_KEY
        }
        if not duplicates:
            return set()
        with translated(f"looking for messages stored before in {collection}"):
            found = self.database[collection].find(
                {"_id": {"$in": list(duplicates)}}, projection={"_id": True}
            )
            return {duplicates[document["_id"]] for document in found}

    def replace(
        self, collection: str, rows: np.ndarray[Any, Any], documents: pa.LargeBinaryArray
    ) -> dict[int, str]:
        """Store keyed documents in the place of earlier ones; return the rows that are refused.

        Of documents with the same key the last one counts.
        """
        latest: dict[bytes, tuple[int, RawBSONDocument]] = {}
        for row, document in zip(rows.tolist(), documents.to_pylist(), strict=True):
            raw = RawBSONDocument(document)
            latest[bson.encode({"_id": raw["_id"]})] = (row, raw)
        operations: list[pymongo.ReplaceOne[Any]] = [
            pymongo.ReplaceOne({"_id": raw["_id"]}, raw, upsert=True) for _, raw in latest.values()
        ]
        kept_rows = [row for row, _ in latest.values()]
        target = self.database.get_collection(collection, write_concern=_CONCERN)
        with translated(f"storing keyed documents in {collection}"):
            try:
                target.bulk_write(operations, ordered=False)
            except pymongo.errors.BulkWriteError as error:
                problems = error.details["writeErrors"]
                blocks.raise_for_server(
                    [problem["code"] for problem in problems], f"{self.database.name}.{collection}"
                )
                return {
                    kept_rows[problem["index"]]: "refused by the database: "
                    + problem.get("errmsg", "")[:300]
                    for problem in problems
                }
        return {}

    def reject(
        self,
        identities: np.ndarray[Any, Any],
        rejects: dict[int, dict[str, Any]],
        targets: Sequence[str],
    ) -> None:
        """Keep rejected messages with their reasons; take back what an earlier try stored."""
        operations: list[pymongo.ReplaceOne[Any]] = []
        refused = []
        for row, reject in rejects.items():
            identity = ObjectId(identities[row].tobytes())
            refused.append(identity)
            operations.append(
                pymongo.ReplaceOne({"_id": identity}, {"_id": identity, **reject}, upsert=True)
            )
        target = self.database.get_collection(naming.REJECTS_COLLECTION, write_concern=_CONCERN)
        with translated(f"keeping rejected messages in {target.full_name}"):
            target.bulk_write(operations, ordered=False)
            for start in range(0, len(refused), _MAX_IDS):
                query = {"_id": {"$in": refused[start : start + _MAX_IDS]}}
                for collection in targets:
                    self.database[collection].delete_many(query)

    def forget_rejects(self, key: bytes, offset: int) -> None:
        """Take back the rejects of messages that are about to be read again."""
        query = ids.id_range(key) | {"$gte": ids.document_id(key, offset)}
        with translated("taking back rejects of messages that are read again"):
            self.database[naming.REJECTS_COLLECTION].delete_many({"_id": query})
