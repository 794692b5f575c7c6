"""`mysimbdp demo-alert`: miss a promised figure on purpose, and watch what the platform does."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pymongo
import typer
from rich.console import Console

from mysimbdp import coredms, errors, messaging, naming, registry
from mysimbdp import settings as deployment
from mysimbdp.cli import alerts, dag_runs, stream_orders
from mysimbdp.cli.dag_runs import AirflowRefusedError
from mysimbdp.reporting import tables
from mysimbdp.reporting.alerts import AlertStore
from mysimbdp.samples import producer, streams
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings
from mysimbdp.streaming import standing
from mysimbdp.streaming.request import Action, Request

TENANT, QUICK, SLOW = "tenant1", "weather", "weather-slow"

_REGISTER_SECONDS = 120.0
_BREACH_SECONDS = 120.0
_ACTION_SECONDS = 90.0
_RECOVERY_SECONDS = 240.0
_MAIL_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_CALM, _BUSY = (1.0, 5), (0.1, 50)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo-alert")(demo_alert)


def demo_alert() -> None:
    """Send messages to a quick and a slow stream app, until an objective is missed and met again.

    Readings arrive every second, then every tenth of a second: the quick app keeps up. The slow one
    does not: an alert is opened and mailed, the agreed action is taken, and when the messages end,
    the app recovers and a second mail says so. Takes about two minutes.
    """
    settings = deployment.from_environment()
    console = tables.open_console()
    with _opened(settings) as store, console.status("waiting for the stream apps") as line:
        _await(lambda: _has_dag(settings), _REGISTER_SECONDS, "tenant1 has no stream DAGs")
        _start(console, QUICK)
        for delay_seconds, count in (_CALM, _BUSY):
            line.update(f"sending readings, one every {delay_seconds:g} s")
            _send(settings, QUICK, delay_seconds, count)
            found = "an alert" if _latest(store, QUICK) else "no alert"
            console.print(f"{count} readings, one every {delay_seconds:g} s: {found}")
        _start(console, SLOW)
        before = _latest(store, SLOW)
        with _sending(settings, SLOW, _BUSY[0]):
            line.update("sending readings to the slow app, one every 0.1 s")
            breach = _await(lambda: _newer(store, before), _BREACH_SECONDS, "no alert was opened")
            console.print(
                f"alert: {breach['cause']} agreed {breach['expected']}, found {breach['found']}"
            )
            line.update("waiting for the agreed action")
            acted = _await(
                lambda: _newer(store, before, "action_text"), _ACTION_SECONDS, "nothing was done"
            )
            console.print(f"action: {acted['action_text']}")
        line.update("no more readings: waiting for the recovery")
        closed = _await(
            lambda: _newer(store, before, "closed_at"), _RECOVERY_SECONDS, "it did not recover"
        )
        console.print(f"recovered: {closed['ended_with']}")
        line.update("waiting for the mails")
        _await_mails(store, before)
        for app in (QUICK, SLOW):
            console.print(stream_orders.give(_order(app, Action.STOP)))
    alerts.alerts(TENANT)
    console.print(f"Mailbox   {settings.state / 'mail'}")


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[AlertStore]:
    url = coredms.coredms_url(settings, SecretStore(settings.secrets))
    with pymongo.MongoClient[Any](url) as client:
        yield AlertStore(client[naming.PLATFORM_DATABASE])


def _has_dag(settings: Settings) -> bool:
    """Tell whether the slow app is registered and Airflow has seen it."""
    live = {one.tenant for one in registry.read(settings.registry) if not one.stopped}
    try:
        runs = dag_runs.open_dag_runs()
        return TENANT in live and not runs.is_paused(naming.stream_dag_id(TENANT, SLOW))
    except AirflowRefusedError:
        return False


def _order(app: str, action: Action) -> Request:
    instances = 1 if action is Action.START else None
    return Request(tenant=TENANT, app=app, action=action, instances=instances)


def _start(console: Console, app: str) -> None:
    with stream_orders.open_streams() as store:
        now = standing.of(store.read(TENANT, app), TENANT, app)
    if not now.is_supervised:
        console.print(stream_orders.give(_order(app, Action.START)))


def _send(
    settings: Settings,
    app: str,
    delay_seconds: float,
    count: int | None = None,
    stop: threading.Event | None = None,
) -> None:
    producer.send(
        messaging.tenant_login(settings, SecretStore(settings.secrets), TENANT),
        naming.topic(TENANT, app),
        itertools.islice(streams.SOURCES[TENANT, app](0, 0), count),
        delay_seconds=delay_seconds,
        stop=stop,
    )


@contextlib.contextmanager
def _sending(settings: Settings, app: str, delay_seconds: float) -> Iterator[None]:
    """Send in the background, until the block ends."""
    stop = threading.Event()
    sender = threading.Thread(
        target=_send, args=(settings, app, delay_seconds), kwargs={"stop": stop}
    )
    sender.start()
    try:
        yield
    finally:
        stop.set()
        sender.join()


def _latest(store: AlertStore, app: str) -> dict[str, Any] | None:
    found = [one for one in store.find(TENANT) if one["name"] == app]
    return found[-1] if found else None


def _newer(
    store: AlertStore, before: dict[str, Any] | None, key: str = "_id"
) -> dict[str, Any] | None:
    """Return the slow app's alert of this run, once it has something under `key`."""
    found = _latest(store, SLOW)
    is_new = found is not None and (before is None or found["_id"] != before["_id"])
    return found if found is not None and is_new and found[key] else None


def _await(look: Callable[[], Any], seconds: float, trouble: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise errors.StackError(
                f"The demonstration failed: {trouble} within {seconds:.0f} s. See mysimbdp streams "
                "list, mysimbdp alerts and the runs of the DAG alerting."
            )
        time.sleep(_LOOK_SECONDS)
    return found


def _await_mails(store: AlertStore, before: dict[str, Any] | None) -> None:
    """Wait for them; of one cause no second mail is sent within a quarter of an hour."""
    deadline = time.monotonic() + _MAIL_SECONDS
    while time.monotonic() < deadline:
        found = _newer(store, before)
        if found and all(mail["sent_at"] for mail in found["mails"]):
            return
        time.sleep(_LOOK_SECONDS)
