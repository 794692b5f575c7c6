"""One instance of a stream app: `python -m mysimbdp.streaming.instance`, its order on stdin.

A process of the platform. It owns the consumer, the ids, the writes and the offsets; the tenant's
code runs in its child. It dies with the process that started it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pymongo
from pymongo.database import Database

from mysimbdp import errors, naming, registry, settings
from mysimbdp.ledger import Ledger
from mysimbdp.pipelines import sandbox
from mysimbdp.pipelines.registration import StreamApp
from mysimbdp.registry import RegisteredTenant
from mysimbdp.reporting import tenant_log
from mysimbdp.settings import Settings
from mysimbdp.sinks.stream import StreamSink
from mysimbdp.streaming import orders
from mysimbdp.streaming.causes import Cause, stopped
from mysimbdp.streaming.checkpoint import CheckpointStore
from mysimbdp.streaming.ingestion import Ingestion, Task
from mysimbdp.streaming.meter import Meter
from mysimbdp.streaming.orders import Order, Status
from mysimbdp.streaming.publisher import Publisher
from mysimbdp.streaming.report import Origin, Report
from mysimbdp.streaming.stores import CoredmsStore, FileStore, Store

_SERVER_MILLISECONDS = 5_000
_SOCKET_MILLISECONDS = 30_000
#: A restart would end in the same way.
_HOPELESS = frozenset({Cause.NOT_LOADABLE, Cause.BAD_OUTPUT})

_log = logging.getLogger(__name__)


def main() -> None:
    """Carry out the order; end with 0 when drained, TERMINAL_EXIT for a cause that stays."""
    sandbox.die_with_parent()
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s"
    )
    order = orders.decode(sys.stdin.buffer.readline(), Order)
    line = _Line()
    try:
        _carry_out(order, line)
    except errors.PlatformError as error:
        cause = error.facts.get("cause")
        _log.error("%s: %s", cause or type(error).__name__, error)
        line.fail(cause, str(error))
        is_terminal = isinstance(error, errors.TerminalError)
        is_code = isinstance(error, errors.IngestionFailedError)
        line.leave(
            orders.TERMINAL_EXIT if is_terminal and (not is_code or cause in _HOPELESS) else 1
        )
    except Exception as error:  # noqa: BLE001 - the supervisor hears of it and starts anew
        _log.exception("unexpected error")
        line.fail(None, f"{type(error).__name__}: {error}")
        line.leave(1)
    line.leave(0)


class _Line:
    """The pipes to the supervisor."""

    def __init__(self) -> None:
        self._heard = time.monotonic()
        self._lock = threading.Lock()
        self._latest = Status(state="starting")

    def listen(self, on_end: Callable[[], None]) -> None:
        """Call `on_end` when the supervisor has gone, is silent, or sends SIGTERM."""
        signal.signal(signal.SIGTERM, lambda *_: on_end())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=self._hear, args=(on_end,), daemon=True).start()
        threading.Thread(target=self._watch, args=(on_end,), daemon=True).start()

    def _hear(self, on_end: Callable[[], None]) -> None:
        while sys.stdin.buffer.readline():
            self._heard = time.monotonic()
        on_end()

    def _watch(self, on_end: Callable[[], None]) -> None:
        while time.monotonic() - self._heard < orders.LOST_SECONDS:
            time.sleep(orders.BEAT_SECONDS)
        on_end()

    def tell(self, status: Status) -> None:
        """Say how the instance stands; nobody may be there to hear it."""
        with self._lock:
            self._latest = status
            try:
                sys.stdout.buffer.write(orders.encode(status))
                sys.stdout.buffer.flush()
            except OSError:
                _log.info("the supervisor has gone")

    def fail(self, cause: str | None, error: str) -> None:
        """Say why it ends; the figures stay those of the latest status."""
        self.tell(msgspec.structs.replace(self._latest, state="failed", cause=cause, error=error))

    def leave(self, exit_code: int) -> None:
        """End this process at once: threads that wait for a dead server must not hold it."""
        sys.stderr.flush()
        os._exit(exit_code)


def _carry_out(order: Order, line: _Line) -> None:
    places = settings.from_environment()
    registered, app = _find(places, order)
    line.tell(Status(state="starting"))
    if app.script is not None:
        _run_script(order, registered, app, places, line)
    else:
        _run_callable(order, registered, app, places, line)


def _find(places: Settings, order: Order) -> tuple[RegisteredTenant, StreamApp]:
    try:
        return registry.find_stream(places.registry, order.tenant, order.app)
    except (errors.TenantStoppedError, errors.TenantUnknownError) as error:
        raise stopped(Cause.TENANT_STOPPED, str(error)) from error


def _run_script(
    order: Order, registered: RegisteredTenant, app: StreamApp, places: Settings, line: _Line
) -> None:
    from mysimbdp.streaming import script  # noqa: PLC0415 - what a callable does not need

    publisher = Publisher(order.metrics)
    stop = threading.Event()
    line.listen(stop.set)
    try:
        script.run_script(order, registered, app, places, stop, publisher.publish, line.tell)
    finally:
        publisher.close()


def _run_callable(
    order: Order, registered: RegisteredTenant, app: StreamApp, places: Settings, line: _Line
) -> None:
    meter = Meter(Origin(streaming_app_id=order.app, tenant_id=order.tenant, instance=order.number))
    publisher = Publisher(order.metrics)
    ingestion = Ingestion(_task(order, registered, app, places), meter)
    line.listen(ingestion.stop)
    ended = threading.Event()
    reporter = threading.Thread(
        target=_report,
        args=(ingestion, meter, ended),
        kwargs={"publish": publisher.publish, "window_seconds": app.window.seconds, "line": line},
    )
    reporter.start()
    try:
        ingestion.run()
    finally:
        ended.set()
        reporter.join()
        publisher.publish(meter.close_window(ingestion.lag))
        publisher.close()
        line.tell(_status(ingestion, meter))


def _report(
    ingestion: Ingestion,
    meter: Meter,
    ended: threading.Event,
    *,
    publish: Callable[[Report], None],
    window_seconds: int,
    line: _Line,
) -> None:
    due = time.monotonic() + window_seconds
    while not ended.wait(orders.BEAT_SECONDS):
        line.tell(_status(ingestion, meter))
        if time.monotonic() >= due:
            publish(meter.close_window(ingestion.lag))
            due += window_seconds


def _status(ingestion: Ingestion, meter: Meter) -> Status:
    last = meter.last_message_at
    return Status(
        state=ingestion.state,
        partitions=ingestion.partitions,
        lag=ingestion.lag,
        rate=meter.rate(),
        last_message_at=None if last is None else last.isoformat(),
        total=meter.messages,
        rejected=meter.rejected,
    )


def _task(order: Order, registered: RegisteredTenant, app: StreamApp, places: Settings) -> Task:
    if registered.agreement is None:
        raise stopped(Cause.TENANT_STOPPED, f"{order.tenant} has no agreement.")
    platform = _database(order.platform_url, naming.PLATFORM_DATABASE)
    log = tenant_log.in_folder(places.logs, order.tenant)
    own_store = CoredmsStore(
        tenant=order.tenant,
        app=order.app,
        sink=StreamSink(_database(order.mongo_url, naming.database(order.tenant))),
        keys={name: target.key for name, target in app.collections.items()},
    )
    store: Store = own_store
    if app.sink == "files":
        store = FileStore(places.state / "exports" / order.tenant / order.app, own_store)
    return Task(
        tenant=order.tenant,
        app=order.app,
        registered=app,
        folder=str(places.tenant_pipelines / order.tenant),
        memory_bytes=app.memory_bytes(registered.agreement),
        kafka=order.kafka,
        ledger=Ledger(platform),
        checkpoints=CheckpointStore(platform, order.tenant, order.app),
        store=store,
        log=lambda text: log.write(
            "INFO", f"{order.app}.stream", f"instance-{order.number}", f"| {text}"
        ),
    )


def _database(url: str, name: str) -> Database[Any]:
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(
        url,
        serverSelectionTimeoutMS=_SERVER_MILLISECONDS,
        connectTimeoutMS=_SERVER_MILLISECONDS,
        socketTimeoutMS=_SOCKET_MILLISECONDS,
    )
    return client[name]


if __name__ == "__main__":
    main()
