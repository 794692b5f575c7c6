"""What processes take together: memory and processor time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import psutil

_LOOK_SECONDS = 1.0


class Load:
    """Some processes and all that they started."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._roots = [psutil.Process(pid) for pid in pids]
        self._members: dict[int, psutil.Process] = {}
        self._spent: dict[int, float] = {}
        self._looked_at = 0.0

    def rss_bytes(self) -> int:
        """Add up the memory now; what processes share is counted in each."""
        self._look()
        total = 0
        for member in self._members.values():
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
        return total

    def cpu_seconds(self) -> float:
        """Add up the processor time since their start, also of those that have ended."""
        self._looked_at = 0.0
        self._look()
        for pid, member in self._members.items():
            with contextlib.suppress(psutil.Error):
                times = member.cpu_times()
                self._spent[pid] = times.user + times.system
        return sum(self._spent.values())

    def _look(self) -> None:
        """Find new members now and then: it takes longer than all the rest."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        for root in self._roots:
            with contextlib.suppress(psutil.Error):
                for member in (root, *root.children(recursive=True)):
                    self._members.setdefault(member.pid, member)
