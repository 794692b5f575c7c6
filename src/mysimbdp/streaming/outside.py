"""Measure a tenant's script by what it leaves in Kafka and MongoDB.

What is known from outside, and how well:

- messages: by how much the group's committed offsets have grown. A group that never committed is
  taken to begin with the oldest message that is kept. What is read again is not counted again.
- lag: the messages behind the committed offsets.
- bytes: by how much the tenant's database has grown. Whatever else writes there counts too, and a
  document that replaces another one of its size does not.
- ingestion time: from the production of a message to the moment when a commit behind it is seen,
  within a second, of the first and last message of one partition a second. It is too short for a
  script that commits before it writes.
- rejects: nothing.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pymongo

from mysimbdp import errors, naming
from mysimbdp.pipelines.registration import StreamApp
from mysimbdp.sinks.drivers import translated
from mysimbdp.streaming import causes
from mysimbdp.streaming.batch import Partition
from mysimbdp.streaming.gauge import Gauge
from mysimbdp.streaming.group_view import GroupView
from mysimbdp.streaming.orders import BEAT_SECONDS, Order, Status
from mysimbdp.streaming.report import Origin, Report

#: A topic may be a moment younger than its registration.
_TOPIC_PATIENCE_SECONDS = 15.0
_SERVER_MILLISECONDS = 3_000
_log = logging.getLogger(__name__)


class Outside(threading.Thread):
    """Look at a script's group and database each second, and report each window.

    Args:
        size: how many bytes the tenant's database holds.
        publish: takes the reports; called from this thread, and by `finish` from its caller's.

    Attributes:
        fault: why Kafka cannot be asked now, or None.

    """

    def __init__(
        self,
        view: GroupView,
        size: Callable[[], int],
        origin: Origin,
        *,
        window_seconds: float,
        publish: Callable[[Report], None],
    ) -> None:
        super().__init__(name="outside", daemon=True)
        self._view, self._size, self._publish = view, size, publish
        self._window_seconds = window_seconds
        self._stopped = threading.Event()
        self.gauge = Gauge(origin)
        self.fault: str | None = None

    def begin(self, stop: threading.Event, tell: Callable[[Status], None]) -> bool:
        """Take the first look, from which on everything counts, as soon as both servers answer.

        Returns:
            Whether they did before `stop`.

        Raises:
            StreamStoppedError: a topic does not exist.

        """
        began = time.monotonic()
        while not stop.is_set():
            try:
                self.gauge.see(self._view.look())
                self.gauge.see_size(self._size())
            except errors.ServiceUnavailableError as error:
                tell(Status(state="waiting", error=str(error)))
            except causes.StreamStoppedError as error:
                if time.monotonic() - began > _TOPIC_PATIENCE_SECONDS:
                    raise
                tell(Status(state="starting", error=str(error)))
            else:
                return True
            stop.wait(BEAT_SECONDS)
        return False

    def run(self) -> None:
        """Look and report until finished."""
        due = time.monotonic() + self._window_seconds
        while not self._stopped.wait(BEAT_SECONDS):
            self._look()
            if time.monotonic() >= due:
                self._report()
                due = max(due + self._window_seconds, time.monotonic())

    def finish(self) -> None:
        """Take the last look and report on the last window; needs no `run`, and is done once."""
        if self._stopped.is_set():
            return
        self._stopped.set()
        if self.ident is not None:
            self.join()
            self._look()
            self._report()
        self._view.close()

    def _look(self) -> None:
        try:
            moved = self.gauge.see(self._view.look())
        except errors.PlatformError as error:
            if self.fault is None:
                _log.warning("%s", error)
            self.fault = str(error)
            self.gauge.lose_sight()
            return
        self.fault = None
        if moved is not None:
            self._sample(*moved)

    def _sample(self, partition: Partition, first: int, last: int) -> None:
        now = time.time()
        for offset in {first, last}:
            sent_at = self._view.sent_at(partition, offset)
            if sent_at is not None:
                self.gauge.see_time(now - sent_at)

    def _report(self) -> None:
        try:
            self.gauge.see_size(self._size())
        except errors.ServiceUnavailableError as error:
            _log.warning("%s", error)
        self._publish(self.gauge.close_window())


def group_of(order: Order, app: StreamApp) -> str:
    """Name the consumer group of a script."""
    return naming.consumer_group(order.tenant, app.group or order.app)


@contextlib.contextmanager
def opened(order: Order, app: StreamApp, publish: Callable[[Report], None]) -> Iterator[Outside]:
    """Hold the connections through which a script is measured."""
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(
        order.mongo_url,
        serverSelectionTimeoutMS=_SERVER_MILLISECONDS,
        socketTimeoutMS=_SERVER_MILLISECONDS,
    )
    database = client[naming.database(order.tenant)]

    def size() -> int:
        with translated(f"looking how large the database of {order.tenant} is"):
            return int(database.command("dbStats")["dataSize"])

    topics = [naming.topic(order.tenant, topic) for topic in app.topics]
    outside = Outside(
        GroupView(order.metrics, order.kafka, group_of(order, app), topics),
        size,
        Origin(streaming_app_id=order.app, tenant_id=order.tenant, instance=order.number),
        window_seconds=app.window.seconds,
        publish=publish,
    )
    with client:
        try:
            yield outside
        finally:
            outside.finish()
