"""The process supervisor of the embedded stack: its start and its remote control."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from supervisor.xmlrpc import SupervisorTransport

from mysimbdp import errors
from mysimbdp.local_stack import configuration, logs
from mysimbdp.local_stack.programs import Program
from mysimbdp.settings import Settings

_START_SECONDS = 10.0
_STOP_SECONDS = 75.0
_POLL_SECONDS = 0.1
_WITHOUT_WAITING = False
#: A socket's path ends at 107 bytes; supervisord adds its pid to it while it makes the socket.
_LONGEST_SOCKET_PATH = 95


@attrs.frozen(kw_only=True)
class Process:
    """What the supervisor knows of one program."""

    name: str
    state: str
    pid: int
    started_at_seconds: float

    @property
    def is_down(self) -> bool:
        """Tell whether the supervisor does not try to run it."""
        return self.state in {"STOPPED", "EXITED", "FATAL", "UNKNOWN"}

    @property
    def is_failing(self) -> bool:
        """Tell whether it ended by itself and will be started again."""
        return self.state == "BACKOFF"


@attrs.frozen
class Supervisor:
    """The supervisord of one state folder; nothing here waits for what the programs do."""

    settings: Settings

    @property
    def socket(self) -> Path:
        """Name the control socket, in a short folder of our own if the state's path is long."""
        path = self.settings.state / "run" / "supervisor.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        digest = hashlib.sha256(os.fsencode(self.settings.state)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"mysimbdp-{os.getuid()}-{digest}" / path.name

    @property
    def configuration(self) -> Path:
        """Name the configuration file."""
        return self.settings.state / "run" / "supervisord.conf"

    def answers(self) -> bool:
        """Tell whether the supervisor runs."""
        try:
            self._call("getState")
        except errors.ServiceUnavailableError:
            return False
        except xmlrpc.client.Fault:  # it is shutting down
            return True
        return True

    def start(self, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        """Start the supervisor in the background; it starts none of the programs yet.

        Raises:
            StackError: it ends or does not answer.

        """
        self.settings.logs.mkdir(parents=True, exist_ok=True)
        _make_private(self.socket.parent)
        configuration.write(self.configuration, self.settings, self.socket, programs, environment)
        started = subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)],
            env=dict(environment),
            cwd=self.configuration.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        log = self.settings.logs / "supervisord.log"
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            if started.returncode != 0 or time.monotonic() > deadline:
                reason = started.stderr.strip() or logs.last_error(log)
                raise errors.StackError(f"supervisord does not start: {reason} (log: {log})")
            time.sleep(_POLL_SECONDS)

    def processes(self) -> dict[str, Process]:
        """Return the state of each program by its name; empty if the supervisor does not run."""
        try:
            found = self._call("getAllProcessInfo")
        except errors.ServiceUnavailableError:
            return {}
        return {
            info["name"]: Process(
                name=info["name"],
                state=info["statename"],
                pid=info["pid"],
                started_at_seconds=float(info["start"]),
            )
            for info in found
        }

    def launch(self, name: str) -> None:
        """Start a program, unless it runs, without waiting for it."""
        with contextlib.suppress(xmlrpc.client.Fault):
            self._call("startProcess", name, _WITHOUT_WAITING)

    def stop(self, names: Sequence[str]) -> None:
        """Stop programs, all at the same time, and wait until none of them runs."""
        deadline = time.monotonic() + _STOP_SECONDS
        for name in self._running(names):
            with contextlib.suppress(xmlrpc.client.Fault):
                self._call("stopProcess", name, _WITHOUT_WAITING)
        while self._running(names) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def shut_down(self) -> None:
        """End the supervisor with whatever still runs, and wait until it has gone."""
        self._call("shutdown")
        deadline = time.monotonic() + _STOP_SECONDS
        while self.answers() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def _running(self, names: Sequence[str]) -> list[str]:
        found = self.processes()
        return [name for name in names if name in found and not found[name].is_down]

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self.socket}")
        proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except OSError as error:
            raise errors.ServiceUnavailableError(
                f"The supervisor does not answer at {self.socket}: {error}."
            ) from None
        finally:
            transport.close()


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise errors.StackError(
            f"{folder} belongs to another user; set MYSIMBDP_STATE to a folder with a shorter path."
        )
