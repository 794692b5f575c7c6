"""Who ingested what, once: the state of every ingestion and the key of every file.

`ingestions` has one document per ingestion, which ends as its report. `ledger` has one document per
content that a tenant's pipeline has seen, with the key its rows' ids are made of. Every transition
is a compare-and-set on the state, so that two copies of one task cannot both make it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import attrs
import pymongo
from bson import Binary
from bson.codec_options import CodecOptions
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from mysimbdp import errors
from mysimbdp.reporting.report import State
from mysimbdp.sinks.drivers import translated
from mysimbdp.sinks.ids import KEY_BYTES

_MAX_KEY_TRIES = 8
_AWARE: CodecOptions[Any] = CodecOptions(tz_aware=True, tzinfo=UTC)


TERMINAL = (State.LOADED, State.REJECTED, State.FAILED)


@attrs.frozen(kw_only=True)
class Duplicate:
    """The same content, seen before: where it went, and whether it is in the database already."""

    name: str
    ingestion: str
    is_loaded: bool


def new_ingestion_id(now: datetime) -> str:
    """Make an id that sorts by time and reads well in logs."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def now() -> datetime:
    """Tell the time as MongoDB keeps it: UTC, in milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@attrs.frozen
class Ledger:
    """The two collections in the platform's database. Runs in the worker, CLI and registrar."""

    platform: Database[Any]

    @property
    def ingestions(self) -> Collection[Any]:
        """Hold one document per ingestion."""
        return self.platform.get_collection("ingestions", codec_options=_AWARE)

    @property
    def contents(self) -> Collection[Any]:
        """Hold one document per content of a tenant's pipeline."""
        return self.platform["ledger"]

    def ensure_indexes(self) -> None:
        """Make what the queries below rely on. Called by the registrar; harmless to repeat."""
        with translated("making the ledger's indexes"):
            self.contents.create_index([("tenant", 1), ("key", 1)], unique=True)
            for keys in (
                [("tenant", 1), ("claimed_at", 1)],
                [("run_id", 1), ("dag_id", 1)],
                [("tenant", 1), ("pipeline", 1), ("state", 1)],
            ):
                self.ingestions.create_index(keys)

    def open(self, document: dict[str, Any]) -> None:
        """Enter a new ingestion; its `_id` and `state` are given."""
        with translated(f"entering {document['name']} of {document['tenant']} in the ledger"):
            self.ingestions.insert_one(document)

    def read(self, ingestion: str) -> dict[str, Any]:
        """Return an ingestion's document."""
        with translated(f"reading the ingestion {ingestion}"):
            document = self.ingestions.find_one({"_id": ingestion})
        if document is None:
            raise errors.TerminalError(f"The ledger has no ingestion {ingestion}.")
        return dict(document)

    def of_run(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """List the ingestions of a DAG run's present pass in the order of their claim."""
        return self._find({"dag_id": dag_id, "run_id": run_id, "is_earlier_pass": {"$ne": True}})

    def begin_pass(self, dag_id: str, run_id: str) -> None:
        """Set apart what a run has settled already: cleared, Airflow starts the same run again."""
        with translated(f"starting a pass of {run_id}"):
            self.ingestions.update_many(
                {"dag_id": dag_id, "run_id": run_id, "state": {"$in": list(TERMINAL)}},
                {"$set": {"is_earlier_pass": True}},
            )

    def unsettled(self, tenant: str, pipeline: str) -> list[dict[str, Any]]:
        """List a pipeline's ingestions under way."""
        states = {"$nin": list(TERMINAL)}
        return self._find({"tenant": tenant, "pipeline": pipeline, "state": states})

    def count_running(self, tenant: str) -> int:
        """Count a tenant's ingestions that have a slot or wait for one."""
        running = [State.ADMITTED, State.LOADING]
        with translated(f"counting the ingestions of {tenant}"):
            return self.ingestions.count_documents({"tenant": tenant, "state": {"$in": running}})

    def _find(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        with translated("reading the ledger"):
            return list(self.ingestions.find(query).sort([("claimed_at", 1), ("_id", 1)]))

    def advance(
        self, ingestion: str, start: Iterable[State], end: State, **facts: Any
    ) -> dict[str, Any] | None:
        """Move an ingestion from one of the states `start` to `end` and note facts.

        Returns:
            The document as it is now, or None when another copy of the task was faster.

        """
        with translated(f"noting that {ingestion} is {end}"):
            return self.ingestions.find_one_and_update(
                {"_id": ingestion, "state": {"$in": list(start)}},
                {"$set": {"state": end, **facts}},
                return_document=pymongo.ReturnDocument.AFTER,
            )

    def begin(self, ingestion: str) -> dict[str, Any] | None:
        """Start an attempt; None when the work is done or given up already."""
        with translated(f"starting {ingestion}"):
            return self.ingestions.find_one_and_update(
                {"_id": ingestion, "state": {"$in": [State.ADMITTED, State.LOADING]}},
                {"$set": {"state": State.LOADING, "started_at": now()}, "$inc": {"attempt": 1}},
                return_document=pymongo.ReturnDocument.AFTER,
            )

    def finish(
        self, ingestion: str, attempt: int, end: State, **facts: Any
    ) -> dict[str, Any] | None:
        """End an attempt; None when a later attempt has begun, whose word counts."""
        with translated(f"noting that {ingestion} is {end}"):
            return self.ingestions.find_one_and_update(
                {"_id": ingestion, "state": State.LOADING, "attempt": attempt},
                {"$set": {"state": end, **facts}},
                return_document=pymongo.ReturnDocument.AFTER,
            )

    def note(self, ingestion: str, **facts: Any) -> None:
        """Add facts without changing the state."""
        with translated(f"noting facts of {ingestion}"):
            self.ingestions.update_one({"_id": ingestion}, {"$set": facts})

    def forget(self, ingestion: str) -> None:
        """Strike an ingestion whose file another run claimed first."""
        with translated(f"striking {ingestion}"):
            self.ingestions.delete_one({"_id": ingestion, "state": State.CLAIMED})

    def take(self, document: dict[str, Any]) -> Duplicate | None:
        """Reserve an ingestion's content for it; say whose it is when it is taken already."""
        identity = _content_id(document)
        with translated(f"reserving the content of {document['name']}"):
            self._enter_content(identity, document)
            entry = self.contents.find_one_and_update(
                {
                    "_id": identity,
                    "$or": [{"state": "free"}, {"ingestion": document["_id"]}],
                },
                {
                    "$set": {
                        "state": "taken",
                        "ingestion": document["_id"],
                        "name": document["name"],
                    }
                },
            )
            if entry is not None:
                return None
            entry = self.contents.find_one({"_id": identity}) or {}
        return Duplicate(
            name=entry["name"],
            ingestion=entry["ingestion"],
            is_loaded=entry["state"] == "loaded",
        )

    def key(self, document: dict[str, Any]) -> bytes:
        """Return the key that the ids of a content's rows begin with."""
        identity = _content_id(document)
        with translated(f"reading the key of {document['name']}"):
            self._enter_content(identity, document)
            entry = self.contents.find_one({"_id": identity})
        return bytes(entry["key"]) if entry is not None else b""

    def _enter_content(self, identity: str, document: dict[str, Any]) -> None:
        """Make the content's entry if there is none.

        The key is the start of the content's hash; should two contents of a tenant ever share it,
        the unique index says so and the next candidate is tried: keys never collide.
        """
        for number in range(_MAX_KEY_TRIES):
            digest = hashlib.sha256(f"{identity}#{number}".encode()).digest()
            try:
                self.contents.update_one(
                    {"_id": identity},
                    {
                        "$setOnInsert": {
                            "tenant": document["tenant"],
                            "pipeline": document["pipeline"],
                            "sha256": document["sha256"],
                            "key": Binary(digest[:KEY_BYTES]),
                            "state": "free",
                            "ingestion": None,
                            "name": document["name"],
                        }
                    },
                    upsert=True,
                )
            except DuplicateKeyError:
                continue
            return
        raise errors.TerminalError(f"No free key was found for the content of {identity}.")

    def keep(self, document: dict[str, Any]) -> None:
        """Note that an ingestion's content is in the database."""
        self._mark(document, "loaded")

    def release(self, document: dict[str, Any]) -> None:
        """Give a failed ingestion's content free, so that the same file may be sent again."""
        self._mark(document, "free")

    def _mark(self, document: dict[str, Any], state: str) -> None:
        if document.get("sha256") is None:
            return
        with translated(f"marking the content of {document['name']} as {state}"):
            self.contents.update_one(
                {"_id": _content_id(document), "ingestion": document["_id"]},
                {"$set": {"state": state}},
            )


def _content_id(document: dict[str, Any]) -> str:
    return f"{document['tenant']}/{document['pipeline']}/{document['sha256']}"
