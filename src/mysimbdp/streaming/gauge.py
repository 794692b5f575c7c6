"""The figures of a consumer group that is seen from outside; pure but for the clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from mysimbdp.streaming import report as reports
from mysimbdp.streaming.batch import Partition
from mysimbdp.streaming.group_view import Place
from mysimbdp.streaming.orders import Status
from mysimbdp.streaming.report import Origin, Report, Timeframe, Window


class Gauge:
    """The figures of a group, from one look at it to the next. For several threads."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._lock = threading.Lock()
        self._started_at = self._window_at = datetime.now(UTC)
        self._window_began = time.monotonic()
        #: The furthest that the group was seen to be, in each partition.
        self._marks: dict[Partition, int] = {}
        self._has_begun = False
        self._size_bytes: int | None = None
        self._latest_seconds = 0.0
        self._last_message_at: datetime | None = None
        self._lag: int | None = None
        self._messages = self._bytes = 0
        self._open_window()

    def _open_window(self) -> None:
        self._window_messages = self._window_bytes = 0
        self._times: list[float] = []

    def see(self, places: Mapping[Partition, Place]) -> tuple[Partition, int, int] | None:
        """Note where the group stands.

        Returns:
            The partition that moved most, and its first and last offset of those that are done
            now; None if nothing moved.

        """
        with self._lock:
            moved = []
            for partition, place in places.items():
                mark = self._mark(partition, place)
                position = max(mark, _position(place))
                if position > mark:
                    moved.append((position - mark, partition, mark, position - 1))
                self._marks[partition] = position
            self._has_begun = True
            self._lag = sum(
                max(0, place.end - max(_position(place), place.first)) for place in places.values()
            )
            if not moved:
                return None
            count = sum(one[0] for one in moved)
            self._messages += count
            self._window_messages += count
            self._last_message_at = datetime.now(UTC)
            return max(moved)[1:]

    def _mark(self, partition: Partition, place: Place) -> int:
        """Say from where on messages of a partition count."""
        if partition not in self._marks:
            return place.first if self._has_begun else _position(place)
        mark = self._marks[partition]
        return place.first if mark > place.end else mark  # the topic was made again

    def see_time(self, seconds: float) -> None:
        """Note how long one message took."""
        with self._lock:
            self._times.append(max(0.0, seconds))

    def see_size(self, size_bytes: int) -> None:
        """Note how large the tenant's database is."""
        with self._lock:
            if self._size_bytes is not None:
                grown = max(0, size_bytes - self._size_bytes)
                self._bytes += grown
                self._window_bytes += grown
            self._size_bytes = size_bytes

    def lose_sight(self) -> None:
        """Note that nobody knows how many messages wait."""
        with self._lock:
            self._lag = None

    def status(self, state: str) -> Status:
        """Say how it stands."""
        with self._lock:
            last = self._last_message_at
            return Status(
                state=state,
                lag=self._lag,
                rate=self._window_messages / self._window_seconds(),
                last_message_at=None if last is None else last.isoformat(),
                total=self._messages,
            )

    def close_window(self) -> Report:
        """Report on the window that ends now, and begin the next one."""
        with self._lock:
            now_at, seconds = datetime.now(UTC), self._window_seconds()
            report = reports.of_window(
                self._origin,
                Timeframe(
                    ingestion_start_time=self._started_at,
                    measurement_start_time=self._window_at,
                    measurement_end_time=now_at,
                ),
                Window(
                    messages=self._window_messages,
                    rejected=0,
                    bytes=self._window_bytes,
                    max_ingestion_time=max(self._times, default=None),
                    lag=self._lag,
                ),
                seconds=seconds,
                average_seconds=self._average_seconds(),
                total_messages=self._messages,
                total_bytes=self._bytes,
                source="outside",
            )
            self._window_at, self._window_began = now_at, time.monotonic()
            self._open_window()
            return report

    def _average_seconds(self) -> float:
        """Average the samples; without one for the window's messages, it is as it last was."""
        if self._times:
            self._latest_seconds = sum(self._times) / len(self._times)
        return self._latest_seconds if self._window_messages else 0.0

    def _window_seconds(self) -> float:
        return max(time.monotonic() - self._window_began, 0.001)


def _position(place: Place) -> int:
    return place.first if place.committed is None else place.committed
