"""What watches over the stream apps while the alerting task is deferred."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from mysimbdp import errors, naming, settings

if TYPE_CHECKING:
    from pymongo.database import Database

#: Pause after a watch that failed.
RECOVERY_SECONDS = 3.0
#: The triggerer waits 10 s for its end, and so for the watch.
_STORE_MILLISECONDS = 5_000
_log = logging.getLogger(__name__)


class AlertingTrigger(BaseTrigger):
    """Watch until an action or a mail is due, or the time is over.

    The watch has a thread of its own: it would hold up all other triggers. It goes on when MongoDB
    or Kafka is away, and when a connection is missing that the registrar is yet to make.
    """

    def __init__(self, until: str) -> None:
        # An exception here would end all triggers of the triggerer: nothing is looked at.
        super().__init__()  # type: ignore[no-untyped-call]
        self.until = until
        self._ended = threading.Event()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes this trigger again; the deadline outlives a restart."""
        return f"{__name__}.{type(self).__name__}", {"until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        until = datetime.fromisoformat(self.until)
        context = contextvars.copy_context()
        thread = ThreadPoolExecutor(1, thread_name_prefix="alerting")
        try:
            watch = asyncio.get_running_loop().run_in_executor(
                thread, context.run, self._watch, until
            )
            due = await watch
        finally:
            self._ended.set()
            thread.shutdown(wait=False)
        yield TriggerEvent({"due": due})  # type: ignore[no-untyped-call]

    async def cleanup(self) -> None:
        """Let the watch end, which takes it a second."""
        self._ended.set()

    def _watch(self, until: datetime) -> bool:
        while not self._is_over(until):
            try:
                return self._watch_once(until)
            except (errors.PlatformError, OSError) as error:
                _log.warning("Alerting goes on in a moment: %s", error)
                self._ended.wait(RECOVERY_SECONDS)
        return False

    def _watch_once(self, until: datetime) -> bool:
        # They bring hooks and drivers, which whoever only makes a trigger should not wait for.
        import pymongo  # noqa: PLC0415

        from mysimbdp.orchestration import (  # noqa: PLC0415
            connections,
            kafka_connection,
            late_runs,
        )
        from mysimbdp.streaming.monitor import Monitor  # noqa: PLC0415

        places = settings.from_environment()
        url = connections.url_of(naming.PLATFORM_CONNECTION)
        client: pymongo.MongoClient[Any]
        with pymongo.MongoClient(url, timeoutMS=_STORE_MILLISECONDS, tz_aware=True) as client:
            platform: Database[Any] = client[naming.PLATFORM_DATABASE]
            monitor = Monitor(
                registry=places.registry,
                logs=places.logs,
                platform=platform,
                kafka=lambda: kafka_connection.properties(naming.KAFKA_CONNECTION),
                chore=late_runs.EndedRuns(platform),
            )
            return monitor.watch(lambda: self._is_over(until))

    def _is_over(self, until: datetime) -> bool:
        return self._ended.is_set() or datetime.now(UTC) >= until
