"""A missed objective: what was agreed, what was found, what was done, and who was told; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import attrs

#: Of one cause in one app no more than one mail of a kind is sent within this time.
QUIET_TIME = timedelta(minutes=15)
_FIRST_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(minutes=15)


class Kind(StrEnum):
    """What missed it."""

    STREAM = "stream"
    BATCH = "batch"


class News(StrEnum):
    """What a mail tells."""

    OPENED = "opened"
    CLOSED = "closed"


@attrs.frozen(kw_only=True)
class Subject:
    """What mails are counted by."""

    tenant: str
    kind: Kind
    name: str
    cause: str


@attrs.frozen(kw_only=True)
class Alert:
    """A document of `mysimbdp.alerts`; times are in UTC.

    Attributes:
        name: the stream app, or the subdirectory.
        cause: the key of the missed objective, or `failed`.
        expected: what was agreed.
        found: the latest figure above it.
        contacts: the tenant's addresses.
        on_breach: what the agreement lets the platform do.
        run_id: the DAG run, of a batch.
        ending: why it is closed: recovered, stopped, ….
        ended_with: the figure at that time.
        action: what the platform did last, in a word and in a sentence.
        action_instances: how many instances the app was given.
        is_action_done: False between the decision and the deed.
        action_due_at: when it is to do something (again).
        untold: what was not mailed yet.
        tries: how often a mail could not be sent.

    """

    tenant: str
    kind: Kind
    name: str
    cause: str
    expected: str
    found: str
    opened_at: datetime
    contacts: tuple[str, ...]
    on_breach: str = "nothing"
    run_id: str | None = None
    closed_at: datetime | None = None
    ending: str | None = None
    ended_with: str | None = None
    action: str | None = None
    action_text: str | None = None
    action_instances: int | None = None
    is_action_done: bool = True
    action_taken_at: datetime | None = None
    action_due_at: datetime | None = None
    untold: frozenset[News] = frozenset()
    mail_due_at: datetime | None = None
    mail_error: str | None = None
    tries: int = 0

    @property
    def id(self) -> str:
        """Name it; a repeat of the same breach, or of the same run, has the same name."""
        when = self.run_id or self.opened_at.isoformat(timespec="milliseconds")
        return f"{self.tenant}.{self.name}/{self.cause}/{when}"

    @property
    def is_open(self) -> bool:
        """Tell whether it is missed still."""
        return self.closed_at is None

    @property
    def subject(self) -> Subject:
        """Tell what its mails are counted by."""
        return Subject(tenant=self.tenant, kind=self.kind, name=self.name, cause=self.cause)


@attrs.frozen(kw_only=True)
class Letter:
    """One mail about all that was not told yet of one subject, in the order of time."""

    subject: Subject
    alerts: tuple[Alert, ...]

    @property
    def latest(self) -> Alert:
        """Return the alert that tells how things are."""
        return self.alerts[-1]

    @property
    def news(self) -> frozenset[News]:
        """Tell what kinds of news it brings."""
        return frozenset().union(*(alert.untold for alert in self.alerts))


def letters(
    waiting: Iterable[Alert], told: Mapping[tuple[Subject, News], datetime], now: datetime
) -> list[Letter]:
    """Return the mails to send now.

    A breach and its recovery are told at once. Of one that swings, the rest is gathered and told
    together, once in a while.

    Args:
        waiting: the alerts with anything untold.
        told: when news of a kind were mailed last, by subject.
        now: the time.

    """
    gathered: dict[Subject, list[Alert]] = {}
    for alert in sorted(waiting, key=lambda one: one.opened_at):
        gathered.setdefault(alert.subject, []).append(alert)
    found = [Letter(subject=one, alerts=tuple(alerts)) for one, alerts in gathered.items()]
    return [letter for letter in found if _is_due(letter, told, now)]


def next_try(alert: Alert, now: datetime) -> datetime:
    """Tell when a mail that could not be sent is tried again."""
    return now + min(_FIRST_PAUSE * (1 << min(alert.tries, 10)), _LONGEST_PAUSE)


def _is_due(letter: Letter, told: Mapping[tuple[Subject, News], datetime], now: datetime) -> bool:
    if any(one.mail_due_at is not None and one.mail_due_at > now for one in letter.alerts):
        return False
    last = (told.get((letter.subject, kind)) for kind in letter.news)
    return any(moment is None or now - moment >= QUIET_TIME for moment in last)


_FIELDS = frozenset(attrs.fields_dict(Alert)) - {"untold"}


def to_document(alert: Alert) -> dict[str, Any]:
    """Write an alert that has just been opened."""
    fields = {key: value for key, value in attrs.asdict(alert).items() if key in _FIELDS}
    return fields | {
        "_id": alert.id,
        "contacts": list(alert.contacts),
        "state": "open",
        "mails": [{"kind": News.OPENED.value, "sent_at": None}],
        "waits": True,
    }


def from_document(document: Mapping[str, Any]) -> Alert:
    """Read an alert."""
    fields = {key: value for key, value in document.items() if key in _FIELDS}
    mails = document.get("mails", ())
    return Alert(
        **fields
        | {
            "kind": Kind(document["kind"]),
            "contacts": tuple(document["contacts"]),
            "untold": frozenset(News(one["kind"]) for one in mails if one["sent_at"] is None),
        }
    )
