"""The start of the embedded stack, in order, up to the moment when all of it works."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

import attrs

from mysimbdp import errors, messaging
from mysimbdp.local_stack import (
    airflow,
    configuration,
    health,
    kafka,
    kafka_jars,
    kafka_probe,
    leftovers,
    logs,
    preflight,
    programs,
    replica_set,
)
from mysimbdp.local_stack.processes import Supervisor
from mysimbdp.local_stack.programs import Program
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

READY_SECONDS = 180.0
#: The supervisor goes on trying; the start gives up after this many failures of one program.
FAILURES = 3

_POLL_SECONDS = 0.25
_FIRST = (programs.MONGOD, programs.KAFKA, programs.MAILBOX)


class Audience(Protocol):
    """Whoever watches the start."""

    def begins(self, what: str) -> None:
        """Hear what is being waited for."""

    def ends(self, what: str, seconds: float) -> None:
        """Hear what is done and how long it took."""


@attrs.frozen
class Start:
    """One start of the stack that `settings` describe."""

    settings: Settings
    secrets: SecretStore
    environment: Mapping[str, str]
    programs: Sequence[Program]
    supervisor: Supervisor
    audience: Audience

    def run(self) -> tuple[str, ...]:
        """Start what is down and wait until all of it works; return the names of what was down.

        Raises:
            StackError: a port is taken or a program does not start.

        """
        self._clear_the_place()
        self._make_folders()
        down = self._find_down()
        preflight.check_ports(_ports(self.settings, down))
        self._prepare_kafka(down)
        if not self.supervisor.answers():
            self.supervisor.start(self.programs, self.environment)
        self._launch(down, self._names(first=True))
        self._make_coredms_ready()
        self._make_metadata_database()
        self._launch(down, self._names(first=False))
        for name in self._names(first=False):
            self._await(name)
        return tuple(down)

    def _clear_the_place(self) -> None:
        if not self.supervisor.answers():
            leftovers.end(self.settings)
        elif not configuration.was_written_for(self.supervisor.configuration, self.environment):
            raise errors.StackError(
                "The stack runs with other settings than the present ones (ports, MONGO_URL, "
                "KAFKA_BROKER or folders). Run `mysimbdp down` first, then `mysimbdp up`."
            )

    def _make_folders(self) -> None:
        self.settings.logs.mkdir(exist_ok=True)
        for name in ("run", "airflow", "airflow/home", "mail"):
            (self.settings.state / name).mkdir(mode=0o700, exist_ok=True)

    def _find_down(self) -> list[str]:
        found = self.supervisor.processes()
        return [
            program.name
            for program in self.programs
            if program.name not in found or found[program.name].is_down
        ]

    def _names(self, *, first: bool) -> list[str]:
        return [each.name for each in self.programs if (each.name in _FIRST) is first]

    def _launch(self, down: Collection[str], names: Sequence[str]) -> None:
        for name in names:
            if name in down:
                self.supervisor.launch(name)

    def _prepare_kafka(self, down: Collection[str]) -> None:
        if self.settings.kafka_broker is not None:
            kafka_probe.check(messaging.registrar_login(self.settings, self.secrets))
        elif programs.KAFKA in down:
            if kafka_jars.missing():
                with self._watched("Kafka's jars"):
                    kafka_jars.fetch()
            kafka.prepare(self.settings, self.secrets)

    def _make_coredms_ready(self) -> None:
        for name in self._names(first=True):
            self._await(name)
        with self._watched("coredms logins"):
            replica_set.make_ready(self.settings, self.secrets)

    def _make_metadata_database(self) -> None:
        if airflow.is_prepared(self.settings, self.secrets):
            return
        log = self.settings.logs / "airflow-database.log"
        with self._watched("Airflow's database"), log.open("ab") as output:
            done = subprocess.run(
                airflow.preparation_command(),
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                # Its marker must not make the caller's terminal look like a part of the stack.
                start_new_session=True,
            )
            if done.returncode != 0:
                raise errors.StackError(
                    f"Airflow's database cannot be prepared: {logs.last_error(log)} (log: {log})"
                )
        airflow.mark_prepared(self.settings, self.secrets)

    def _await(self, name: str) -> None:
        failures: set[float] = set()
        deadline = time.monotonic() + READY_SECONDS
        with self._watched(name):
            while not self._works(name):
                process = self.supervisor.processes().get(name)
                if process and process.is_failing:
                    failures.add(process.started_at_seconds)
                if process is None or process.is_down or len(failures) >= FAILURES:
                    raise self._failure(name, "does not start")
                if time.monotonic() > deadline:
                    raise self._failure(name, f"does not work after {READY_SECONDS:.0f} s")
                time.sleep(_POLL_SECONDS)

    def _works(self, name: str) -> bool:
        if name == programs.MONGOD:
            # It cannot take writes before it is set up.
            return replica_set.answers(self.settings)
        process = self.supervisor.processes().get(name)
        return process is not None and health.is_well(self.settings, process)

    def _failure(self, name: str, what: str) -> errors.StackError:
        (program,) = (each for each in self.programs if each.name == name)
        log = logs.first_with_text(program.error_logs)
        return errors.StackError(
            f"{name} {what}: {logs.last_error(log)} (log: {log}). "
            "Cure that and run `mysimbdp up` again.",
            program=name,
        )

    @contextlib.contextmanager
    def _watched(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        self.audience.begins(what)
        yield
        self.audience.ends(what, time.monotonic() - began)


def _ports(settings: Settings, down: Collection[str]) -> list[tuple[str, int]]:
    ports = {
        programs.MONGOD: ("MYSIMBDP_MONGO_PORT", settings.mongo_port),
        programs.KAFKA: ("MYSIMBDP_KAFKA_PORT", settings.kafka_port),
        programs.MAILBOX: ("MYSIMBDP_SMTP_PORT", settings.smtp_port),
        programs.API_SERVER: ("MYSIMBDP_AIRFLOW_PORT", settings.airflow_port),
    }
    found = [ports[name] for name in down if name in ports]
    if programs.KAFKA in down:
        found.append(("MYSIMBDP_KAFKA_CONTROLLER_PORT", settings.kafka_controller_port))
    return found
