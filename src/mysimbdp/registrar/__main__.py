"""Run the registrar: `python -m mysimbdp.registrar`, under a supervisor, until SIGTERM."""

from __future__ import annotations

import signal
import threading

import structlog

from mysimbdp import settings
from mysimbdp.registrar import mongo
from mysimbdp.registrar.airflow import Airflow
from mysimbdp.registrar.kafka import Kafka
from mysimbdp.registrar.loop import Loop
from mysimbdp.registrar.reconcile import Registrar
from mysimbdp.secrets import SecretStore


def main() -> None:
    """Reconcile until SIGTERM or SIGINT; a pass under way is finished first."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(
                key_order=["timestamp", "level", "event", "tenant", "change"], drop_missing=True
            ),
        ]
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _build(stop).run()


def _build(stop: threading.Event) -> Loop:
    found = settings.from_environment()
    secrets = SecretStore(found.secrets)
    servers = (mongo.Coredms(found, secrets), Airflow(found, secrets), Kafka(found, secrets))
    registrar = Registrar(found, secrets, *servers)
    return Loop(registrar.reconcile, found.home, stop)


if __name__ == "__main__":
    main()
