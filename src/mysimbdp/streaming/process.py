"""The process of one instance, seen from the event loop that supervises it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import attrs
import psutil

from mysimbdp import errors
from mysimbdp.settings import Settings
from mysimbdp.streaming import orders
from mysimbdp.streaming.app_log import AppLog
from mysimbdp.streaming.orders import Order, Status

COMMAND = (sys.executable, "-I", "-m", "mysimbdp.streaming.instance")

_STDOUT, _STDERR = 1, 2
_MAX_LINE_BYTES = 64 * 1024
#: A status is overtaken by the next one, so only the last lines of what came at once are read.
_MAX_LINES = 20
#: Time for the last words of a process that has ended.
_LAST_WORDS_SECONDS = 1.0
#: Time for the kernel to end a process that was killed.
_DEATH_SECONDS = 2.0
_LOOK_SECONDS = 0.25


@attrs.frozen(kw_only=True)
class Program:
    """How to start an instance.

    Attributes:
        command: program and arguments; it gets its order on standard input.
        environment: all that it finds in its environment.

    """

    command: Sequence[str] = COMMAND
    environment: Mapping[str, str]


def environment(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what an instance may know: places and ports, no address with a login in it."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in {"PATH", "HOME"} or name.startswith("MYSIMBDP_")
    }
    places = {"MYSIMBDP_HOME": str(settings.home), "MYSIMBDP_STATE": str(settings.state)}
    return {"LANG": "C.UTF-8", **kept, **places}


class InstanceProcess(asyncio.SubprocessProtocol):
    """One running process. Make it with `start`; `end` leaves nothing of it behind.

    It is a protocol, not a pair of reading tasks: when the event loop is shut down, which cancels
    all tasks, it is still heard.
    """

    def __init__(self, log: AppLog, number: int, on_exit: Callable[[], None]) -> None:
        self.status = Status(state="starting")
        self.pid = 0
        self.was_killed = False
        self._log = log
        self._number = number
        self._on_exit = on_exit
        self._heard_at = time.monotonic()
        self._rest = {_STDOUT: b"", _STDERR: b""}
        self._has_ended = asyncio.Event()
        self._has_told_all = asyncio.Event()
        self._spoke_nonsense = False

    @property
    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        return self._transport.get_returncode()

    @property
    def silent_seconds(self) -> float:
        """Say how long ago its last status came."""
        return time.monotonic() - self._heard_at

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._input = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(0))
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Take what it writes."""
        *lines, rest = (self._rest[fd] + data).split(b"\n")
        if len(rest) > _MAX_LINE_BYTES:
            lines, rest = [*lines, rest[:_MAX_LINE_BYTES]], b""
        self._rest[fd] = rest
        if fd == _STDERR:
            kept = (line[:_MAX_LINE_BYTES] for line in lines if line)
            self._log.pass_on(f"instance {self._number} ({self.pid})", kept)
        elif lines:
            self._take_status(lines)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that it cannot say more."""
        del exc
        if self._rest.get(fd):
            self.pipe_data_received(fd, b"\n")
        if fd == _STDOUT:
            self._has_told_all.set()

    def process_exited(self) -> None:
        """Wake up those who wait."""
        self._has_ended.set()
        self._on_exit()

    def beat(self) -> None:
        """Give it a sign of life."""
        if not self._input.is_closing():
            self._input.write(b"\n")

    async def end(self, deadline: Callable[[], float]) -> None:
        """Let it drain until the deadline (of the monotonic clock), then kill it.

        The deadline may move closer meanwhile. A cancelled wait kills at once.
        """
        try:
            self._input.close()
            while not self._has_ended.is_set() and time.monotonic() < deadline():
                left_seconds = max(deadline() - time.monotonic(), 0.0)
                await pause(self._has_ended, min(left_seconds, _LOOK_SECONDS))
            if self._has_ended.is_set():
                await pause(self._has_told_all, _LAST_WORDS_SECONDS)
        finally:
            self._kill()
        await pause(self._has_ended, _DEATH_SECONDS)
        self._transport.close()

    def _take_status(self, lines: Sequence[bytes]) -> None:
        for line in itertools.islice(reversed(lines), _MAX_LINES):
            with contextlib.suppress(errors.TerminalError):
                self.status = orders.decode(line, Status)
                self._heard_at = time.monotonic()
                return
        if not self._spoke_nonsense:
            self._spoke_nonsense = True
            self._log.note(
                f"instance {self._number} writes to its standard output what no status is"
            )

    def _kill(self) -> None:
        """End what is left of its process group, and what came from it and left the group."""
        self.was_killed = not self._has_ended.is_set()
        family: list[psutil.Process] = []
        if self.was_killed:
            with contextlib.suppress(psutil.Error):
                family = psutil.Process(self.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()


async def start(
    program: Program, order: Order, log: AppLog, on_exit: Callable[[], None]
) -> InstanceProcess:
    """Start an instance with its order. `on_exit` is called when it ends, for whatever reason.

    Raises:
        OSError: the process could not be made.

    """
    loop = asyncio.get_running_loop()
    _, process = await loop.subprocess_exec(
        lambda: InstanceProcess(log, order.number, on_exit),
        *program.command,
        env=dict(program.environment),
        start_new_session=True,
    )
    process._input.write(orders.encode(order))  # noqa: SLF001 - the factory of this class
    return process


async def pause(event: asyncio.Event, seconds: float) -> None:
    """Wait until the event, but no longer than that."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
