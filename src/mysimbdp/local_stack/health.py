"""Ask each program of the stack whether it really works, not only whether it runs."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import socket
from typing import Any

from mysimbdp import messaging
from mysimbdp.local_stack import kafka_probe, programs, replica_set
from mysimbdp.local_stack.processes import Process
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 3.0
_AIRFLOW_PARTS = {
    programs.SCHEDULER: "scheduler",
    programs.DAG_PROCESSOR: "dag_processor",
    programs.TRIGGERER: "triggerer",
}


def is_well(settings: Settings, process: Process) -> bool:
    """Tell whether a program that was started does its work."""
    if process.name == programs.MONGOD:
        return replica_set.is_primary(settings)
    if process.name == programs.KAFKA:
        return kafka_probe.answers(
            messaging.registrar_login(settings, SecretStore(settings.secrets))
        )
    if process.name == programs.MAILBOX:
        return _listens(settings.smtp_port)
    if process.name == programs.API_SERVER:
        return bool(_airflow_health(settings))
    if part := _AIRFLOW_PARTS.get(process.name):
        return _beats(_airflow_health(settings).get(part, {}), part, process.started_at_seconds)
    return process.state == "RUNNING"


def _beats(health: dict[str, Any], part: str, since_seconds: float) -> bool:
    """Tell whether there was a heartbeat since the start; an older one is its predecessor's."""
    latest = health.get(f"latest_{part}_heartbeat")
    if health.get("status") != "healthy" or not latest:
        return False
    return dt.datetime.fromisoformat(latest).timestamp() >= since_seconds


def _airflow_health(settings: Settings) -> dict[str, Any]:
    connection = http.client.HTTPConnection(_HOST, settings.airflow_port, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", "/api/v2/monitor/health")
        response = connection.getresponse()
        return dict(json.loads(response.read())) if response.status == http.HTTPStatus.OK else {}
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection((_HOST, port), timeout=_PATIENCE_SECONDS).close()
    except OSError:
        return False
    return True
