"""Which programs make the embedded stack, and the environment that they share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import attrs

from mysimbdp.local_stack import airflow, kafka, mongod
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

#: Set for the stack's processes only, so that a crashed stack's processes are known for certain.
MARKER = "MYSIMBDP_STACK"

MONGOD = "mongod"
KAFKA = "kafka"
MAILBOX = "mailbox"
API_SERVER = "api-server"
SCHEDULER = "scheduler"
DAG_PROCESSOR = "dag-processor"
TRIGGERER = "triggerer"
REGISTRAR = "registrar"

#: What the others read and write.
STORES = (MONGOD, KAFKA)

#: What the programs get of the environment of whoever starts them.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_START_SECONDS = {MONGOD: 1, KAFKA: 2, MAILBOX: 1, REGISTRAR: 3}
_AIRFLOW_START_SECONDS = 10
_STOP_SECONDS = 8
#: These may have much to write.
_STORE_STOP_SECONDS = {MONGOD: 60, KAFKA: 30}


@attrs.frozen(kw_only=True)
class Program:
    """One supervised program.

    Attributes:
        start_seconds: how long it must stay up to count as started.
        stop_seconds: how long it may take to end before it is killed.
        log: what it prints.
        error_logs: where its errors are looked for, the most telling first.

    """

    name: str
    command: tuple[str, ...]
    log: Path
    error_logs: tuple[Path, ...]
    start_seconds: int
    stop_seconds: int


def programs(settings: Settings, secrets: SecretStore) -> tuple[Program, ...]:
    """Return the programs in the order in which they start."""
    python = [sys.executable, "-m"]
    mail_folder = str(settings.state / "mail")
    mailbox = ["--port", str(settings.smtp_port), "--folder", mail_folder]
    commands = {
        MAILBOX: [*python, "mysimbdp.local_stack.mailbox", *mailbox],
        **airflow.commands(),
        REGISTRAR: [*python, "mysimbdp.registrar"],
    }
    if settings.kafka_broker is None:
        commands = {KAFKA: kafka.command(settings)} | commands
    if settings.mongo_url is None:
        commands = {MONGOD: mongod.command(mongod.find_binary(), settings, secrets)} | commands
    return tuple(_program(settings, name, command) for name, command in commands.items())


def addresses(settings: Settings) -> dict[str, str]:
    """Return the address of each program by its name, in the same order; most have none."""
    embedded_mongod = {} if settings.mongo_url else {MONGOD: f"127.0.0.1:{settings.mongo_port}"}
    embedded_kafka = {} if settings.kafka_broker else {KAFKA: f"127.0.0.1:{settings.kafka_port}"}
    return {
        **embedded_mongod,
        **embedded_kafka,
        MAILBOX: f"127.0.0.1:{settings.smtp_port}",
        API_SERVER: settings.airflow_url,
        SCHEDULER: "",
        DAG_PROCESSOR: "",
        TRIGGERER: "",
        REGISTRAR: "",
    }


def environment(settings: Settings, secrets: SecretStore) -> dict[str, str]:
    """Return the whole environment of the programs; hardly anything of the caller's is in it."""
    home = str(settings.state / "airflow" / "home")
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return (
        passed_on
        | _external(settings)
        | airflow.environment(settings, secrets)
        | {
            MARKER: str(settings.state),
            # Airflow renames its processes, which would wipe the marker out of their environment.
            "SPT_NOENV": "1",
            "HOME": home,
            "MPLCONFIGDIR": home,
            "PYTHONUNBUFFERED": "1",
            "MYSIMBDP_HOME": str(settings.home),
            "MYSIMBDP_STATE": str(settings.state),
            "MYSIMBDP_MONGO_PORT": str(settings.mongo_port),
            "MYSIMBDP_KAFKA_PORT": str(settings.kafka_port),
            "MYSIMBDP_KAFKA_CONTROLLER_PORT": str(settings.kafka_controller_port),
            "MYSIMBDP_AIRFLOW_PORT": str(settings.airflow_port),
            "MYSIMBDP_SMTP_PORT": str(settings.smtp_port),
            "AIRFLOW_URL": settings.airflow_url,
        }
    )


def _external(settings: Settings) -> dict[str, str]:
    # The programs have a working directory of their own.
    login = settings.kafka_login.absolute() if settings.kafka_login else None
    given = {
        "MONGO_URL": settings.mongo_url,
        "KAFKA_BROKER": settings.kafka_broker,
        "KAFKA_LOGIN": login,
        "SMTP_URL": settings.smtp_url,
        "OPERATOR_EMAIL": settings.operator_email,
    }
    return {name: str(value) for name, value in given.items() if value}


def _program(settings: Settings, name: str, command: list[str]) -> Program:
    own_log = mongod.log_file(settings)
    log = settings.logs / (f"{name}.out" if name == MONGOD else f"{name}.log")
    return Program(
        name=name,
        command=tuple(command),
        log=log,
        error_logs=(own_log, log) if name == MONGOD else (log,),
        start_seconds=_START_SECONDS.get(name, _AIRFLOW_START_SECONDS),
        stop_seconds=_STORE_STOP_SECONDS.get(name, _STOP_SECONDS),
    )
