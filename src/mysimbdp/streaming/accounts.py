"""Keep the accounts of all apps by what is reported, and alert of what is missed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import attrs

from mysimbdp import naming
from mysimbdp.reporting import tenant_log
from mysimbdp.reporting.alert import Alert, Kind, Subject
from mysimbdp.reporting.alerts import AlertStore
from mysimbdp.sinks.drivers import translated
from mysimbdp.streaming import objectives, report
from mysimbdp.streaming.breaches import Account, App, Breach, Cause, Change, Opened
from mysimbdp.streaming.directory import Directory
from mysimbdp.streaming.metrics_reader import Message
from mysimbdp.streaming.report import Report, ReportInvalidError
from mysimbdp.streaming.store import StreamStore
from mysimbdp.streaming.windows import Kept, Key, WindowStore

_AT_REST = App(runs=False)
_log = logging.getLogger(__name__)


class Accounts:
    """The accounts in memory; `save` makes them last.

    An alert is entered before the account that knows of it is saved, and an account is saved before
    its messages are committed: whatever is repeated after a crash is recognised.
    """

    def __init__(
        self,
        *,
        windows: WindowStore,
        alerts: AlertStore,
        streams: StreamStore,
        logs: Path,
        clock: Callable[[], datetime],
    ) -> None:
        self._windows, self._alerts, self._streams = windows, alerts, streams
        self._logs, self._clock = logs, clock
        self._kept = windows.load()
        self._changed: dict[Key, Kept] = {}
        self._apps: dict[Key, App] = {}

    def take(self, messages: Collection[Message], directory: Directory) -> None:
        """Take in messages of the metrics topics; keep those that are no reports, with reasons."""
        refused: list[tuple[Message, str]] = []
        for message in messages:
            try:
                self._hear(_read(message, directory, self._clock()), directory)
            except ReportInvalidError as error:
                refused.append((message, str(error)))
        if refused:
            self._refuse(refused)

    def look(self, directory: Directory, *, heard_all: bool) -> None:
        """Take in the time and what the apps do; forget those that are registered no more."""
        now = self._clock()
        self._apps = {
            (one["tenant"], one["app"]): directory.app(one, now) for one in self._streams.read_all()
        }
        for key in self._kept.keys() | self._apps.keys():
            kept = self._kept.get(key, Kept())
            agreed = directory.objectives(key[0])
            account, changes = objectives.look(
                kept.account, agreed, self._app(key), now, heard_all=heard_all
            )
            self._account(key, account, changes, directory)
        gone = [key for key in self._kept if not directory.has(key)]
        self._windows.forget(gone)
        for key in gone:
            del self._kept[key]
            self._changed.pop(key, None)

    def save(self) -> None:
        """Write what has changed.

        Raises:
            ServiceUnavailableError: MongoDB does not answer; nothing of it may be committed.

        """
        self._kept |= self._windows.save(self._changed)
        self._changed.clear()

    def _hear(self, told: Report, directory: Directory) -> None:
        key = (told.origin.tenant_id, told.app)
        if not directory.has(key):
            return
        kept = self._kept.get(key, Kept())
        agreed = directory.objectives(key[0])
        account, changes = objectives.hear(kept.account, told, agreed, self._app(key))
        self._account(key, account, changes, directory)

    def _account(
        self, key: Key, account: Account, changes: Iterable[Change], directory: Directory
    ) -> None:
        kept = self._kept.get(key, Kept())
        if account == kept.account:
            return
        changes = list(changes)
        for change in changes:
            self._announce(key, change, directory)
        if changes:
            self._tell_app(key, account.breaches)
        self._kept[key] = self._changed[key] = attrs.evolve(kept, account=account)

    def _announce(self, key: Key, change: Change, directory: Directory) -> None:
        tenant, app = key
        subject = Subject(tenant=tenant, kind=Kind.STREAM, name=app, cause=change.cause)
        breach = change.breach
        log = tenant_log.in_folder(self._logs, tenant)
        if isinstance(change, Opened):
            self._alerts.open(_alert(subject, breach, directory, self._clock()))
            text = f"{change.cause} missed: expected {breach.expected}, found {breach.found}"
            log.write("WARNING", app, "alert", text)
        else:
            self._alerts.close(subject, breach.opened_at, change.at, change.ending, change.found)
            log.write("INFO", app, "alert", f"{change.cause}: {change.ending} ({change.found})")

    def _tell_app(self, key: Key, breaches: Mapping[Cause, Breach]) -> None:
        """Inform whoever manages the app: its document names what is missed now."""
        missed = [
            {"cause": cause.value, "found": one.found, "since": one.opened_at}
            for cause, one in breaches.items()
        ]
        name = naming.stream_app(*key)
        with translated(f"noting the breaches of {name}"):
            self._streams.apps.update_one({"_id": name}, {"$set": {"breaches": missed}})

    def _refuse(self, refused: Sequence[tuple[Message, str]]) -> None:
        self._windows.refuse(
            [(one.topic, one.partition, one.offset, one.value, why) for one, why in refused],
            self._clock(),
        )
        first = {one.topic: reason for one, reason in reversed(refused)}
        for topic, count in Counter(one.topic for one, _ in refused).items():
            text = f"{count} report(s) on {topic} refused, the first one: {first[topic]}"
            tenant = _tenant_of(topic)
            if tenant is None:
                _log.error("%s", text)
            else:
                log = tenant_log.in_folder(self._logs, tenant)
                log.write("WARNING", naming.OWN_REPORTS, "report", text)

    def _app(self, key: Key) -> App:
        return self._apps.get(key, _AT_REST)


def _read(message: Message, directory: Directory, now: datetime) -> Report:
    tenant = _tenant_of(message.topic)
    if tenant is None:
        return report.decode(message.value)
    told = report.decode_own(message.value, tenant, now)
    if not directory.has((tenant, told.app)):
        raise ReportInvalidError(
            f"The report is of no registered stream app of {tenant}: found "
            f"origin.streaming_app_id {told.app!r}."
        )
    return told


def _tenant_of(topic: str) -> str | None:
    tenant, dot, _ = topic.rpartition(".")
    return tenant if dot else None


def _alert(subject: Subject, breach: Breach, directory: Directory, now: datetime) -> Alert:
    agreement = directory.agreement(subject.tenant)
    on_breach = directory.objectives(subject.tenant).on_breach
    return Alert(
        tenant=subject.tenant,
        kind=subject.kind,
        name=subject.name,
        cause=subject.cause,
        expected=breach.expected,
        found=breach.found,
        opened_at=breach.opened_at,
        contacts=agreement.contacts if agreement else (),
        on_breach=on_breach,
        action_due_at=None if on_breach == "nothing" else now,
    )
