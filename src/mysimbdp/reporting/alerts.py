"""All alerts, one document each, and with them the queue of the mails about them.

What is to be told stands in the alert itself, so it outlives every process. A mail is marked as
sent after the server took it: a crash in between sends it again, with the same Message-ID.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
from bson.codec_options import CodecOptions
from pymongo import errors as mongo_errors
from pymongo.collection import Collection
from pymongo.database import Database

from mysimbdp import errors
from mysimbdp.reporting import alert
from mysimbdp.reporting.alert import Alert, Kind, Letter, News, Subject

ALERTS_COLLECTION = "alerts"
_OPEN = "open"
_CLOSED = "closed"
_AWARE: CodecOptions[Any] = CodecOptions(tz_aware=True, tzinfo=UTC)


@attrs.frozen
class AlertStore:
    """The alerts in the platform's database. Blocking; runs anywhere but in an event loop."""

    platform: Database[Any]

    @property
    def alerts(self) -> Collection[Any]:
        """Hold one document per breach."""
        return self.platform.get_collection(ALERTS_COLLECTION, codec_options=_AWARE)

    def ensure_indexes(self) -> None:
        """Make what the queries below rely on; harmless to repeat."""
        with _translated("making the indexes of the alerts"):
            for keys in (
                [("state", 1), ("action_due_at", 1)],
                [("waits", 1)],
                [("mails.sent_at", 1)],
                [("tenant", 1), ("opened_at", 1)],
            ):
                self.alerts.create_index(keys)

    def open(self, breach: Alert) -> None:
        """Enter a breach, unless it is known or one of the same subject is open."""
        same = {**_of(breach.subject), "run_id": breach.run_id, "state": _OPEN}
        document = alert.to_document(breach)
        with (
            _translated(f"opening the alert {breach.id}"),
            # It was opened and closed before, and is told a second time.
            contextlib.suppress(mongo_errors.DuplicateKeyError),
        ):
            self.alerts.update_one(
                same,
                {"$setOnInsert": {key: document[key] for key in document.keys() - same.keys()}},
                upsert=True,
            )

    def close(
        self, subject: Subject, opened_at: datetime, at: datetime, ending: str, found: str
    ) -> None:
        """Close a subject's open alert, if it is not of a later breach."""
        query = {**_of(subject), "state": _OPEN, "opened_at": {"$lte": opened_at}}
        self._close(query, at, ending, found)

    def close_run(self, breach: Alert, at: datetime, ending: str, found: str) -> None:
        """Close the alert of a batch run."""
        self._close({"_id": breach.id, "state": _OPEN}, at, ending, found)

    def _close(self, query: dict[str, Any], at: datetime, ending: str, found: str) -> None:
        with _translated("closing an alert"):
            self.alerts.update_one(
                query,
                {
                    "$set": {
                        "state": _CLOSED,
                        "closed_at": at,
                        "ending": ending,
                        "ended_with": found,
                        "action_due_at": None,
                        "waits": True,
                    },
                    "$push": {"mails": {"kind": News.CLOSED.value, "sent_at": None}},
                },
            )

    def plan(
        self, breach: Alert, action: str, text: str, at: datetime, instances: int | None = None
    ) -> None:
        """Note what is about to be done, before it is done."""
        changes = {
            "action": action,
            "action_text": text,
            "action_instances": instances,
            "action_taken_at": at,
            "is_action_done": False,
        }
        self._change(breach, changes)

    def acted(self, breach: Alert, again_at: datetime | None) -> None:
        """Note that it was done, and when to look again whether something is to be done."""
        self._change(breach, {"is_action_done": True, "action_due_at": again_at})

    def note(self, breach: Alert, text: str) -> None:
        """Note why nothing (more) is done."""
        why = {} if breach.action else {"action_text": text}
        self._change(breach, {"action_due_at": None, **why})

    def actions_due(self, now: datetime) -> list[Alert]:
        """Return the open alerts that something is to be done about, the oldest first."""
        return self._find({"state": _OPEN, "action_due_at": {"$lte": now}})

    def last_action(self, tenant: str, name: str) -> datetime | None:
        """Tell when the platform last did anything about an app."""
        query = {
            "tenant": tenant,
            "name": name,
            "kind": Kind.STREAM,
            "action_taken_at": {"$ne": None},
        }
        with _translated(f"reading the alerts of {tenant}"):
            newest = self.alerts.find_one(query, sort=[("action_taken_at", -1)])
        return newest and newest["action_taken_at"]

    def letters_due(self, now: datetime) -> list[Letter]:
        """Return the mails to send now."""
        waiting = self._find({"waits": True})
        return alert.letters(waiting, self._told(now), now) if waiting else []

    def mailed(self, letter: Letter, at: datetime) -> None:
        """Mark what a mail has told, and nothing that came since."""
        for one in letter.alerts:
            with _translated(f"noting the mail about {one.id}"):
                self.alerts.update_one(
                    {"_id": one.id},
                    {
                        "$set": {"mails.$[told].sent_at": at, "mail_error": None, "tries": 0},
                        "$unset": {"mail_due_at": ""},
                    },
                    array_filters=[{"told.sent_at": None, "told.kind": {"$in": list(one.untold)}}],
                )
                self.alerts.update_one(
                    {"_id": one.id, "mails": {"$not": {"$elemMatch": {"sent_at": None}}}},
                    {"$set": {"waits": False}},
                )

    def postpone(self, letter: Letter, now: datetime, error: str) -> None:
        """Try a mail again later, less and less often."""
        for one in letter.alerts:
            due = alert.next_try(one, now)
            self._change(one, {"mail_due_at": due, "mail_error": error, "tries": one.tries + 1})

    def open_runs(self) -> list[Alert]:
        """Return the open alerts of batch runs."""
        return self._find({"state": _OPEN, "kind": Kind.BATCH})

    def find(self, tenant: str | None = None, *, only_open: bool = False) -> list[dict[str, Any]]:
        """Return the documents that match, newest last."""
        query = {"tenant": tenant} if tenant else {}
        query |= {"state": _OPEN} if only_open else {}
        with _translated("reading the alerts"):
            return list(self.alerts.find(query).sort([("opened_at", 1), ("_id", 1)]))

    def _find(self, query: dict[str, Any]) -> list[Alert]:
        with _translated("reading the alerts"):
            return [alert.from_document(one) for one in self.alerts.find(query).sort("opened_at")]

    def _change(self, breach: Alert, changes: dict[str, Any]) -> None:
        with _translated(f"noting what was done about {breach.id}"):
            self.alerts.update_one({"_id": breach.id}, {"$set": changes})

    def _told(self, now: datetime) -> dict[tuple[Subject, News], datetime]:
        since = now - alert.QUIET_TIME
        with _translated("reading the alerts"):
            found = list(self.alerts.find({"mails.sent_at": {"$gt": since}}))
        told: dict[tuple[Subject, News], datetime] = {}
        for subject, mail in _mails(found):
            key = (subject, News(mail["kind"]))
            told[key] = max(mail["sent_at"], told.get(key, mail["sent_at"]))
        return told


def _mails(documents: Iterable[Any]) -> Iterator[tuple[Subject, Any]]:
    for document in documents:
        subject = alert.from_document(document).subject
        yield from ((subject, mail) for mail in document["mails"] if mail["sent_at"] is not None)


def _of(subject: Subject) -> dict[str, Any]:
    return {key: str(value) for key, value in attrs.asdict(subject).items()}


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except mongo_errors.DuplicateKeyError:
        raise
    except mongo_errors.PyMongoError as error:
        raise errors.ServiceUnavailableError(
            f"MongoDB did not do it: {what}: {type(error).__name__}. It is tried again; see "
            "whether coredms runs (mysimbdp status)."
        ) from error
