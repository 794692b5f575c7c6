"""A child process and everything that it started, also what it tried to leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import psutil

_END_SECONDS = 5.0
_LOOK_SECONDS = 0.005
_KERNEL_LISTS_CHILDREN = Path(f"/proc/self/task/{threading.get_native_id()}/children").exists()


class Family:
    """All processes that came into being below this one since the family was founded.

    This process is the subreaper of its descendants, so that a daemon that cuts itself loose
    becomes its direct child and stays in the family.
    """

    def __init__(self) -> None:
        self._own = os.getpid()
        self._strangers = set(_children(self._own))
        self._head: int | None = None

    def found(self, process_id: int) -> None:
        """Name the head of the family: whoever started it collects its exit code, nobody else."""
        self._head = process_id

    def members(self) -> list[psutil.Process]:
        """List the living members; those that go in the meantime are left out."""
        waiting = [child for child in _children(self._own) if child not in self._strangers]
        found: list[psutil.Process] = []
        while waiting:
            process_id = waiting.pop()
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(process_id))
                waiting += _children(process_id)
        return found

    def held_bytes(self) -> int:
        """Add up the resident memory of the family."""
        return sum(_resident_bytes(process) for process in self.members())

    def end(self) -> None:
        """Kill every member and wait until all are gone; the head's exit code is left to collect.

        They are frozen first, so that none can start another one while its siblings die.
        """
        while members := [one for one in self.members() if not self._is_dead_head(one)]:
            for signal_number in (signal.SIGSTOP, signal.SIGKILL):
                for process in members:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.send_signal(signal_number)
            others = [process for process in members if process.pid != self._head]
            psutil.wait_procs(others, timeout=_END_SECONDS)
            if not others:
                time.sleep(_LOOK_SECONDS)

    def _is_dead_head(self, process: psutil.Process) -> bool:
        return process.pid == self._head and has_ended(process)


def _children(process_id: int) -> list[int]:
    """List the children of a process.

    The kernel keeps them by the thread that started each; reading that is much cheaper than psutil,
    which reads every process of the machine, at every tick of a watchdog.
    """
    if not _KERNEL_LISTS_CHILDREN:
        return [child.pid for child in psutil.Process(process_id).children()]
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        for thread in Path(f"/proc/{process_id}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (thread / "children").read_text().split())
    return found


def has_ended(process: psutil.Process) -> bool:
    """Tell whether a process is over, its exit code collected or not."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
