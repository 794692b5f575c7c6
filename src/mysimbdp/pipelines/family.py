"""A child process and everything that it started, also what it tried to leave behind."""

from __future__ import annotations

import contextlib
import signal

import psutil

_END_SECONDS = 5.0


class Family:
    """All processes that came into being below this one since the family was founded.

    This process is the subreaper of its descendants, so that a daemon that cuts itself loose
    becomes its direct child and stays in the family.
    """

    def __init__(self) -> None:
        self._own = psutil.Process()
        self._strangers = {child.pid for child in self._own.children()}

    def members(self) -> list[psutil.Process]:
        """List the living members; those that go in the meantime are left out."""
        found: list[psutil.Process] = []
        for child in self._own.children():
            if child.pid not in self._strangers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += [child, *child.children(recursive=True)]
        return found

    def held_bytes(self) -> int:
        """Add up the resident memory of the family."""
        return sum(_resident_bytes(process) for process in self.members())

    def end(self) -> None:
        """Kill every member and wait until all are gone.

        They are frozen first, so that none can start another one while its siblings die.
        """
        while members := self.members():
            for signal_number in (signal.SIGSTOP, signal.SIGKILL):
                for process in members:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.send_signal(signal_number)
            psutil.wait_procs(members, timeout=_END_SECONDS)


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
