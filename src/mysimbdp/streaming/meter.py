"""Measure what an instance ingests, and report each window."""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mysimbdp.streaming import report as reports
from mysimbdp.streaming.report import Origin, Report, Timeframe, Window

#: The reject tolerance looks at the latest so many messages, as soon as there are this many.
LATEST_MESSAGES = 1000
LEAST_MESSAGES = 100


class Meter:
    """Count what was acknowledged; for several threads."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._lock = threading.Lock()
        self._started_at = datetime.now(UTC)
        self._window_at, self._window_began = self._started_at, time.monotonic()
        self._latest: deque[tuple[int, int]] = deque()
        self._latest_messages = self._latest_rejected = 0
        self.messages = self.rejected = self.bytes = 0
        self.last_message_at: datetime | None = None
        self._clear()

    def _clear(self) -> None:
        self._messages = self._rejected = self._bytes = 0
        self._seconds, self._slowest = 0.0, None

    _slowest: float | None

    def add(self, timestamps: np.ndarray[Any, Any], size_bytes: int, rejected: int) -> None:
        """Note a batch that has just been acknowledged; timestamps in ms, of production."""
        now = time.time()
        took = np.maximum(now - timestamps / 1000, 0.0)
        count = len(timestamps)
        with self._lock:
            self.messages += count
            self.rejected += rejected
            self.bytes += size_bytes
            self.last_message_at = datetime.fromtimestamp(now, UTC)
            self._messages += count
            self._rejected += rejected
            self._bytes += size_bytes
            self._seconds += float(took.sum())
            self._slowest = max(self._slowest or 0.0, float(took.max()))
            self._remember(count, rejected)

    def _remember(self, count: int, rejected: int) -> None:
        self._latest.append((count, rejected))
        self._latest_messages += count
        self._latest_rejected += rejected
        while self._latest_messages - self._latest[0][0] >= LATEST_MESSAGES:
            old_count, old_rejected = self._latest.popleft()
            self._latest_messages -= old_count
            self._latest_rejected -= old_rejected

    def reject_ratio(self) -> float:
        """Return the rejected share of the latest messages; 0 while there are too few to tell."""
        with self._lock:
            if self._latest_messages < LEAST_MESSAGES:
                return 0.0
            return self._latest_rejected / self._latest_messages

    def rate(self) -> float:
        """Return messages per second since the window began."""
        with self._lock:
            return self._messages / max(time.monotonic() - self._window_began, 0.001)

    def close_window(self, lag: int | None) -> Report:
        """Report on the window that ends now, and begin the next one."""
        with self._lock:
            now_at, now = datetime.now(UTC), time.monotonic()
            seconds = max(now - self._window_began, 0.001)
            report = reports.of_window(
                self._origin,
                Timeframe(
                    ingestion_start_time=self._started_at,
                    measurement_start_time=self._window_at,
                    measurement_end_time=now_at,
                ),
                Window(
                    messages=self._messages,
                    rejected=self._rejected,
                    bytes=self._bytes,
                    max_ingestion_time=self._slowest,
                    lag=lag,
                ),
                seconds=seconds,
                average_seconds=self._seconds / max(self._messages, 1),
                total_messages=self.messages,
                total_bytes=self.bytes,
                source="platform",
            )
            self._window_at, self._window_began = now_at, now
            self._clear()
            return report
