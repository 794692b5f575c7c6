"""Hold a child and everything it started to the agreed memory and time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil

from mysimbdp.pipelines.causes import Cause
from mysimbdp.pipelines.family import Family, has_ended

#: Memory grows by at most some 70 MB between two looks (1.4 GB/s measured for a filling loop).
TICK_SECONDS = 0.05


class Watchdog(threading.Thread):
    """Look at a family every tick and end it when it breaks a limit. Runs in the worker.

    When the child itself has ended, what it left behind is ended too: it could hold the pipes open.

    Attributes:
        verdict: the limit that was broken, or None.
        peak_memory_bytes: the most that the family was seen to hold at once.

    """

    def __init__(
        self,
        child: psutil.Process,
        family: Family,
        *,
        memory_bytes: int,
        timeout_seconds: float | None,
        on_tick: Callable[[Family], None] | None = None,
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._child = child
        self._family = family
        self._memory_bytes = memory_bytes
        self._deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self._on_tick = on_tick
        self._stopped = threading.Event()
        self.verdict: Cause | None = None
        self.peak_memory_bytes = 0

    def run(self) -> None:
        """Watch until stopped, until the child has ended, or until a limit is broken."""
        while not self._stopped.wait(TICK_SECONDS):
            self.verdict = self._judge()
            if self.verdict is not None or has_ended(self._child):
                self._family.end()
                return
            if self._on_tick is not None:
                self._on_tick(self._family)

    def stop(self) -> None:
        """End the watch and wait for the last look."""
        self._stopped.set()
        self.join()

    def _judge(self) -> Cause | None:
        held_bytes = self._family.held_bytes()
        self.peak_memory_bytes = max(self.peak_memory_bytes, held_bytes)
        if held_bytes > self._memory_bytes:
            return Cause.MEMORY
        if self._deadline is not None and time.monotonic() > self._deadline:
            return Cause.TIMEOUT
        return None
