"""All instances of one stream app: as many as are wished for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mysimbdp.streaming import standing
from mysimbdp.streaming.slot import Failure, Launch, Slot
from mysimbdp.streaming.store import Wish

#: For an end that was asked for.
PATIENT_DRAIN_SECONDS = 30.0

#: Makes the launch of instances that follow a wish.
Launching = Callable[[Wish], Launch]


class Crew:
    """The instances of one app; `on_change` is called when one has ended for good.

    Args:
        launching: what to start for a wish.
        past: figures of earlier crews of the same start.
        on_change: called from the event loop.

    Attributes:
        is_leaving: all of them are to end.

    """

    def __init__(
        self, launching: Launching, past: standing.Sums, on_change: Callable[[], None]
    ) -> None:
        self.is_leaving = False
        self._launching = launching
        self._past = past
        self._past_kills = 0
        self._on_change = on_change
        self._slots: dict[int, Slot] = {}
        self._restarts: int | None = None

    @property
    def failure(self) -> Failure | None:
        """Say why the app cannot go on, if it cannot."""
        return next((slot.failure for slot in self._slots.values() if slot.failure), None)

    @property
    def kills(self) -> int:
        """Count the instances that did not drain in time."""
        return self._past_kills + sum(slot.kills for slot in self._slots.values())

    def follow(self, wish: Wish) -> None:
        """Start what is missing, let go what is too much or is to be started anew."""
        self._collect()
        if self._restarts not in {None, wish.restarts}:
            self._let_go(0)
        self._restarts = wish.restarts
        for number in range(wish.instances):
            if number not in self._slots:
                self._slots[number] = Slot(number, self._launching(wish), self._on_change)
        self._let_go(wish.instances)

    async def leave(self, patience_seconds: float) -> None:
        """Let all drain within that time, and wait for them. A shorter time than before counts."""
        self.is_leaving = True
        for slot in self._slots.values():
            slot.leave(patience_seconds)
        if tasks := [slot.task for slot in self._slots.values() if not slot.task.done()]:
            await asyncio.wait(tasks)

    def figures(self) -> tuple[list[dict[str, Any]], standing.Sums]:
        """Return what each instance says, and all of them together with those that are gone."""
        instances = [slot.describe() for _, slot in sorted(self._slots.items())]
        return instances, self._past.plus(instances)

    def _let_go(self, first_number: int) -> None:
        for number, slot in self._slots.items():
            if number >= first_number:
                slot.leave(PATIENT_DRAIN_SECONDS)

    def _collect(self) -> None:
        """Keep the figures of those that left, and make room for the next of that number."""
        for number, slot in list(self._slots.items()):
            if slot.task.done() and slot.failure is None:
                slot.task.result()
                self._past = self._past.plus([slot.describe()])
                self._past_kills += slot.kills
                del self._slots[number]
