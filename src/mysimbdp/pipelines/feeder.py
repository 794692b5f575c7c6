"""Bring a file to the child at the agreed speed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from mysimbdp.pipelines.family import Family

_PIPE_BYTES = 1024 * 1024
_MAX_CHUNK_BYTES = 1024 * 1024
#: A child that waits for its next chunk must not wait longer than this.
_CHUNK_SECONDS = 0.1

#: Ask for leave to move so many bytes; the answer is how many seconds to wait first.
Pace = Callable[[int], float]


class Feeder(threading.Thread):
    """Copy a file into a pipe without going through this process's memory. Runs in the worker.

    Attributes:
        sent_bytes: how much has reached the pipe.
        error: what stopped the copy; None also when the child closed the pipe early.

    """

    def __init__(self, path: Path, descriptor: int, *, pace: Pace, bytes_per_second: int) -> None:
        super().__init__(name="feeder", daemon=True)
        self._path = path
        self._descriptor = descriptor
        self._pace = pace
        self._chunk_bytes = min(_MAX_CHUNK_BYTES, max(4096, int(bytes_per_second * _CHUNK_SECONDS)))
        self._stopped = threading.Event()
        self.sent_bytes = 0
        self.error: Exception | None = None

    def run(self) -> None:
        """Copy until the end of the file, the child's end, or `stop`."""
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            with self._path.open("rb") as source:
                self._copy(source.fileno())
        except BrokenPipeError:
            pass  # the child is done or dead; its own report says which
        except Exception as error:  # noqa: BLE001 - handed to the thread that waits for the child
            self.error = error
        finally:
            os.close(self._descriptor)

    def _copy(self, source: int) -> None:
        total_bytes = os.fstat(source).st_size
        while self.sent_bytes < total_bytes:
            chunk_bytes = min(self._chunk_bytes, total_bytes - self.sent_bytes)
            if self._stopped.wait(self._pace(chunk_bytes)):
                return
            while chunk_bytes:
                moved = os.splice(source, self._descriptor, chunk_bytes)
                if moved == 0:
                    raise OSError(f"{self._path.name} became shorter while it was read")
                chunk_bytes -= moved
                self.sent_bytes += moved

    def finish(self) -> None:
        """Stop after the chunk under way, and wait for it; also when it was never started."""
        self._stopped.set()
        if self.ident is None:
            os.close(self._descriptor)
        else:
            self.join()


class ScriptPacer:
    """Hold a script to the agreed speed: look how far it has read, and freeze it when too far.

    It sees the position of the script's own descriptor on the file. A script that maps the file
    into memory is not seen while it runs; the whole file is paid for at its end.
    """

    def __init__(self, path: Path, pace: Pace) -> None:
        self._path = str(path)
        self._pace = pace
        self.sent_bytes = 0

    def __call__(self, family: Family) -> None:
        """Take one look. Called by the watchdog's thread."""
        members = family.members()
        position = max((self._position(process) for process in members), default=0)
        if position <= self.sent_bytes:
            return
        moved, self.sent_bytes = position - self.sent_bytes, position
        wait_seconds = self._pace(moved)
        if wait_seconds > 0:
            _send(members, signal.SIGSTOP)
            time.sleep(wait_seconds)
            _send(members, signal.SIGCONT)

    def charge_rest(self) -> None:
        """Pay for what the script read between two looks, so that the next one waits for it."""
        rest_bytes = Path(self._path).stat().st_size - self.sent_bytes
        if rest_bytes > 0:
            time.sleep(self._pace(rest_bytes))

    def _position(self, process: psutil.Process) -> int:
        try:
            files = process.open_files()
        except psutil.Error:
            return 0
        return max((int(file.position) for file in files if file.path == self._path), default=0)


def _send(processes: list[psutil.Process], signal_number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal_number)
