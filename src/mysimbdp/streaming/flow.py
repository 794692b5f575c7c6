"""The way of a batch: to the child, back, into the sink. Four threads, few batches at a time."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

import attrs

from mysimbdp import errors
from mysimbdp.pipelines.mapper import Mapped, Mapper
from mysimbdp.streaming.batch import Batch
from mysimbdp.streaming.progress import Progress

_WRITERS = 2
#: Batches between two threads; with the prefetch of the consumer they bound the memory.
_WAITING = 1
_AT_THE_CHILD = 2
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_LOOK_SECONDS = 0.2


@attrs.frozen(kw_only=True)
class _Way:
    batch: Batch
    taken: Any
    mapped: Mapped | None = None


class Flow:
    """Batches on their way. `offer` is for one thread, `failure` for any.

    Args:
        mapper: the child.
        store: writes a mapped batch; called by several threads.
        progress: learns what is taken and done.
        in_order: batches are stored one after the other, for documents that replace earlier ones.

    """

    def __init__(
        self,
        mapper: Mapper,
        store: Callable[[Batch, Mapped], None],
        progress: Progress,
        *,
        in_order: bool,
    ) -> None:
        self._mapper, self._store, self._progress = mapper, store, progress
        self._room = threading.Semaphore(_WAITING)
        self._to_child: queue.Queue[_Way] = queue.Queue()
        self._at_child: queue.Queue[_Way] = queue.Queue(_AT_THE_CHILD)
        self._to_store: queue.Queue[_Way] = queue.Queue(_WAITING)
        self._ended = threading.Event()
        self.failure: BaseException | None = None
        self.waits_for_server = False
        works = (self._send, self._receive, *[self._write] * (1 if in_order else _WRITERS))
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True) for work in works
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, batch: Batch, wait_seconds: float) -> bool:
        """Take a batch in; False if there are enough already, and no room within that time."""
        if not self._room.acquire(timeout=wait_seconds):
            return False
        self._to_child.put(_Way(batch=batch, taken=self._progress.take(batch.ends())))
        return True

    def end(self) -> None:
        """Stop all threads; a batch that is not done is read again by the next instance."""
        self._ended.set()
        # What the receiver waits for comes no more.
        self._mapper.close()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            if not self._ended.is_set():
                self.failure = self.failure or error

    def _send(self) -> None:
        while way := self._next(self._to_child):
            self._room.release()
            self._pass_on(self._at_child, way)
            self._mapper.send(way.batch.packed)

    def _receive(self) -> None:
        while way := self._next(self._at_child):
            mapped = self._mapper.receive(len(way.batch))
            self._pass_on(self._to_store, attrs.evolve(way, mapped=mapped))

    def _write(self) -> None:
        while way := self._next(self._to_store):
            if way.mapped is not None and self._store_for_certain(way.batch, way.mapped):
                self._progress.done(way.taken)

    def _store_for_certain(self, batch: Batch, mapped: Mapped) -> bool:
        """Write until it is acknowledged; False when the instance ended before."""
        pause = _FIRST_PAUSE_SECONDS
        while not self._ended.is_set():
            try:
                self._store(batch, mapped)
            except errors.ServiceUnavailableError:
                self.waits_for_server = True
                self._ended.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            else:
                self.waits_for_server = False
                return True
        return False

    def _next(self, source: queue.Queue[_Way]) -> _Way | None:
        while not self._ended.is_set():
            with contextlib.suppress(queue.Empty):
                return source.get(timeout=_LOOK_SECONDS)
        return None

    def _pass_on(self, target: queue.Queue[_Way], way: _Way) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(queue.Full):
                target.put(way, timeout=_LOOK_SECONDS)
                return
