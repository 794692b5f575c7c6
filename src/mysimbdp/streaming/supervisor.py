"""Supervise all instances of one stream app, in an event loop that others share."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs

from mysimbdp import errors
from mysimbdp.streaming import process as processes
from mysimbdp.streaming import standing
from mysimbdp.streaming.crew import PATIENT_DRAIN_SECONDS, Crew, Launching
from mysimbdp.streaming.orders import BEAT_SECONDS
from mysimbdp.streaming.slot import DRAIN_SECONDS, Failure
from mysimbdp.streaming.store import Wish

_LAST_BEATS = 3
_log = logging.getLogger(__name__)

#: Notes how the app stands (state, instances, facts); returns what it shall do, or None when
#: another supervisor reigns. Raises `TransientError` when the store does not answer, and
#: `TerminalError`, with `facts["cause"]`, when the app must not go on.
Beat = Callable[[str, Sequence[Mapping[str, Any]], Mapping[str, Any]], Awaitable[Wish | None]]


class End(enum.StrEnum):
    """Why a supervision ended."""

    #: The app shall be stopped.
    STOPPED = "stopped"
    #: It cannot go on.
    FAILED = "failed"
    #: The time of this supervision is over; the next one goes on.
    LEASE = "lease"
    #: Another supervisor has taken over.
    REPLACED = "replaced"
    #: Whoever started this process is gone.
    ORPHANED = "orphaned"


#: The other two have nothing to say: another supervisor reigns, or soon will.
_LAST_STATES = {
    End.STOPPED: standing.STOPPED,
    End.FAILED: standing.FAILED,
    End.LEASE: standing.RENEWING,
}


@attrs.frozen(kw_only=True)
class Ending:
    """How a supervision ended; its instances have ended too.

    Attributes:
        kills: instances that did not drain in time.
        sums: of all messages since the app was started.

    """

    end: End
    failure: Failure | None
    kills: int
    sums: standing.Sums


class Supervisor:
    """Keeps one app running as it is wished; `past` are the figures of earlier supervisions."""

    def __init__(self, launching: Launching, beat: Beat, past: standing.Sums | None = None) -> None:
        self._beat = beat
        self._stir = asyncio.Event()
        self._crew = Crew(launching, past or standing.Sums(), self._stir.set)
        self._wish: Wish | None = None
        self._refusal: Failure | None = None
        self._is_replaced = False
        self._until = 0.0
        self._parent = os.getppid()
        self._is_over = asyncio.Event()

    def extend(self, lease_seconds: float) -> None:
        """Supervise for that long from now."""
        self._until = time.monotonic() + lease_seconds

    async def supervise(self, lease_seconds: float) -> Ending:
        """Supervise until there is a reason to end. A cancelled call leaves no process behind."""
        self.extend(lease_seconds)
        beating = asyncio.create_task(self._keep_beating())
        try:
            end = await self._supervise(beating)
            if end is End.ORPHANED:
                await self.end()
                _end_this_process()
            else:
                await self._crew.leave(PATIENT_DRAIN_SECONDS)
        finally:
            self._is_over.set()
            await self.end()
        await beating
        ending = self._ending(end)
        await self._tell(ending)
        return ending

    async def end(self) -> None:
        """Let all instances drain for a short time, end what is left, and wait for it."""
        await self._crew.leave(DRAIN_SECONDS)

    async def _supervise(self, beating: asyncio.Task[None]) -> End:
        while (end := self._reason_to_end()) is None:
            if beating.done():
                await beating
            if self._wish is not None:
                self._crew.follow(self._wish)
            self._stir.clear()
            await processes.pause(self._stir, BEAT_SECONDS)
        return end

    def _reason_to_end(self) -> End | None:
        if os.getppid() != self._parent:
            return End.ORPHANED
        if self._is_replaced:
            return End.REPLACED
        if self._refusal or self._crew.failure:
            return End.FAILED
        if self._wish is not None and not self._wish.runs:
            return End.STOPPED
        return End.LEASE if time.monotonic() >= self._until else None

    async def _keep_beating(self) -> None:
        is_known_down = False
        while not self._is_over.is_set():
            try:
                await self._beat_once()
                is_known_down = False
            except errors.TransientError as error:
                if not is_known_down:
                    _log.warning("The app goes on, but nobody hears of it: %s", error)
                is_known_down = True
            except errors.TerminalError as error:
                self._refusal = Failure(cause=error.facts.get("cause"), error=str(error))
            await processes.pause(self._is_over, BEAT_SECONDS)

    async def _beat_once(self) -> None:
        instances, sums = self._crew.figures()
        state = standing.together(instances, is_ending=self._crew.is_leaving)
        facts = sums.facts() | {"kills": self._crew.kills, "cause": None, "error": None}
        wish = await self._beat(state, instances, facts)
        self._is_replaced = wish is None
        if wish is not None and wish != self._wish:
            self._wish = wish
            self._stir.set()

    async def _tell(self, ending: Ending) -> None:
        """Leave word of the end; where that fails, the missing beats tell."""
        state = _LAST_STATES.get(ending.end)
        if state is None:
            return
        why = ending.failure or Failure(cause=None, error=None)
        told = {"kills": ending.kills, "cause": why.cause, "error": why.error}
        facts = ending.sums.facts() | told
        for _ in range(_LAST_BEATS):
            with contextlib.suppress(errors.PlatformError):
                await self._beat(state, [], facts)
                return
            await asyncio.sleep(BEAT_SECONDS)

    def _ending(self, end: End) -> Ending:
        _, sums = self._crew.figures()
        return Ending(
            end=end,
            failure=(self._refusal or self._crew.failure) if end is End.FAILED else None,
            kills=self._crew.kills,
            sums=sums,
        )


def _end_this_process() -> None:
    """End what nobody watches any more: in order, so that its other apps drain, then for sure."""
    last_resort = threading.Timer(DRAIN_SECONDS, os._exit, args=(1,))
    last_resort.daemon = True
    last_resort.start()
    os.kill(os.getpid(), signal.SIGTERM)
