"""Which messages are taken, and up to where all of them are stored; pure, for several threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection

import attrs

from mysimbdp.streaming.batch import Partition


@attrs.define(eq=False)
class _Taken:
    ends: dict[Partition, int]
    is_done: bool = False


class Progress:
    """Batches under way in the order in which they were taken.

    A batch may be done before an older one; positions move on only over batches that are all done,
    so that committing them can lose nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._under_way: deque[_Taken] = deque()
        self._positions: dict[Partition, int] = {}

    def take(self, ends: dict[Partition, int]) -> _Taken:
        """Enter a batch, with the position after it in each of its partitions."""
        taken = _Taken(ends)
        with self._lock:
            self._under_way.append(taken)
        return taken

    def done(self, taken: _Taken) -> None:
        """Note that a batch is stored and rejected, durably."""
        with self._lock:
            taken.is_done = True
            while self._under_way and self._under_way[0].is_done:
                self._positions |= self._under_way.popleft().ends
            self._lock.notify_all()

    def positions(self) -> dict[Partition, int]:
        """Say up to where each partition is stored, and forget it: the caller commits it."""
        with self._lock:
            positions, self._positions = self._positions, {}
            return positions

    def give_back(self, positions: dict[Partition, int]) -> None:
        """Take positions back that could not be committed."""
        with self._lock:
            self._positions = positions | self._positions

    def drop(self, partitions: Collection[Partition]) -> None:
        """Forget partitions that belong to another instance now."""
        with self._lock:
            for taken in self._under_way:
                taken.ends = {key: end for key, end in taken.ends.items() if key not in partitions}
            self._positions = {
                key: end for key, end in self._positions.items() if key not in partitions
            }

    def await_empty(self, seconds: float) -> bool:
        """Wait until nothing is under way; tell whether that is so."""
        with self._lock:
            return self._lock.wait_for(lambda: not self._under_way, seconds)
