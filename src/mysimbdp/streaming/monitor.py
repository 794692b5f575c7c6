"""Watch over the service of all stream apps until there is something to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from pymongo.database import Database

from mysimbdp.messaging import Properties
from mysimbdp.reporting.alerts import AlertStore
from mysimbdp.streaming.accounts import Accounts
from mysimbdp.streaming.directory import Directory, Publication
from mysimbdp.streaming.metrics_reader import POLL_SECONDS, MetricsReader
from mysimbdp.streaming.store import StreamStore
from mysimbdp.streaming.windows import WindowStore

#: How often the state of the apps and the queue of alerts are looked at.
LOOK_SECONDS = 1.0


def _now() -> datetime:
    return datetime.now(UTC)


@attrs.frozen(kw_only=True)
class Monitor:
    """What watching needs. Blocking; runs in a thread of its own.

    Attributes:
        kafka: gives the platform's login.
        chore: done at every look.

    """

    registry: Path
    logs: Path
    platform: Database[Any]
    kafka: Callable[[], Properties]
    chore: Callable[[], None] = lambda: None
    clock: Callable[[], datetime] = _now

    def watch(self, is_over: Callable[[], bool]) -> bool:
        """Take in reports; return True when an action or a mail is due, False when it is over.

        Without any tenant that has streams, no connection to Kafka is made.

        Raises:
            TransientError: MongoDB or Kafka does not answer. Whatever was read and is not in the
                database is read again by the next watch.

        """
        watch = _Watch(self)
        try:
            while not is_over():
                watch.listen()
                if watch.look():
                    return True
        finally:
            watch.close()
        return False


class _Watch:
    """One watch: its connection, and what it keeps in memory."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._publication = Publication(monitor.registry)
        self._alerts = AlertStore(monitor.platform)
        windows = WindowStore(monitor.platform)
        self._alerts.ensure_indexes()
        windows.ensure_indexes()
        self._accounts = Accounts(
            windows=windows,
            alerts=self._alerts,
            streams=StreamStore(monitor.platform),
            logs=monitor.logs,
            clock=monitor.clock,
        )
        self._reader: MetricsReader | None = None
        self._next_look = time.monotonic()
        self._accounts.look(self._directory(), heard_all=False)

    def listen(self) -> None:
        """Take in what is reported now, or wait a moment."""
        directory = self._directory()
        tenants = directory.with_streams()
        if not tenants:
            time.sleep(POLL_SECONDS)
            return
        if self._reader is None:
            self._reader = MetricsReader(self._monitor.kafka())
        self._reader.follow(tenants)
        messages = self._reader.read()
        if messages:
            self._accounts.take(messages, directory)
            self._accounts.save()
            self._reader.commit(messages)

    def look(self) -> bool:
        """Take in the time and the state of the apps now and then; tell whether anything is due."""
        if time.monotonic() < self._next_look:
            return False
        self._next_look = time.monotonic() + LOOK_SECONDS
        heard_all = self._reader is not None and self._reader.has_heard_all
        self._accounts.look(self._directory(), heard_all=heard_all)
        self._accounts.save()
        self._monitor.chore()
        now = self._monitor.clock()
        return bool(self._alerts.actions_due(now) or self._alerts.letters_due(now))

    def close(self) -> None:
        """End the connection."""
        if self._reader is not None:
            self._reader.close()

    def _directory(self) -> Directory:
        return self._publication.directory()
