"""One instance of an app over all its restarts."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import attrs

from mysimbdp.reporting import journal
from mysimbdp.streaming import process as processes
from mysimbdp.streaming.app_log import AppLog
from mysimbdp.streaming.backoff import MAX_ENDS, PERIOD_SECONDS, History
from mysimbdp.streaming.causes import Cause
from mysimbdp.streaming.orders import BEAT_SECONDS, TERMINAL_EXIT, Order, Status
from mysimbdp.streaming.process import InstanceProcess, Program

#: An instance that says nothing for this long hangs; it is killed and started again.
SILENCE_SECONDS = 30.0
#: For an end that was not asked for in time: a cancelled task, a triggerer that stops. It has 10 s.
DRAIN_SECONDS = 5.0

RESTARTING = "restarting"


@attrs.frozen(kw_only=True)
class Failure:
    """Why an app cannot go on; the cause is a `streaming.causes.Cause`, or None for our own."""

    cause: str | None
    error: str | None


@attrs.frozen(kw_only=True)
class Launch:
    """What every instance of an app is started with; `name` is the app's."""

    name: str
    program: Program
    order: Callable[[int], Order]
    log: AppLog


class Slot:
    """Keeps one instance running until told to leave. `on_change` is called when that ends.

    Attributes:
        failure: why it gave up; None while it did not.
        kills: how often it did not drain in time.

    """

    def __init__(self, number: int, launch: Launch, on_change: Callable[[], None]) -> None:
        self.number = number
        self.failure: Failure | None = None
        self.kills = 0
        self._launch = launch
        self._restarts = 0
        self._history = History()
        self._process: InstanceProcess | None = None
        self._past_total = 0
        self._past_rejected = 0
        self._last_message_at: str | None = None
        self._stir = asyncio.Event()
        self._is_leaving = False
        self._deadline = float("inf")
        self.task = asyncio.create_task(self._run(), name=f"{launch.name} {number}")
        self.task.add_done_callback(lambda _: on_change())

    def leave(self, patience_seconds: float) -> None:
        """Drain within that time and end; a shorter time than before counts."""
        self._is_leaving = True
        self._deadline = min(self._deadline, time.monotonic() + patience_seconds)
        self._stir.set()

    def describe(self) -> dict[str, Any]:
        """Tell how it stands, as the store keeps it."""
        status = self._process.status if self._process else Status(state=RESTARTING)
        draining = self._is_leaving and self._process is not None
        return {
            "number": self.number,
            "pid": self._process.pid if self._process else None,
            "state": "draining" if draining else status.state,
            "error": status.error and journal.one_line(status.error),
            "partitions": list(status.partitions),
            "lag": status.lag,
            "rate": status.rate,
            "last_message_at": status.last_message_at or self._last_message_at,
            "total": self._past_total + (status.total if self._process else 0),
            "rejected": self._past_rejected + (status.rejected if self._process else 0),
            "restarts": self._restarts,
        }

    async def _run(self) -> None:
        while not self._is_leaving and self.failure is None:
            self._stir.clear()
            started_at = time.monotonic()
            ended = await self._live()
            if not self._is_leaving:
                await self._judge(ended, time.monotonic() - started_at)

    async def _live(self) -> str:
        """Live one life; return how it ended, in words."""
        try:
            order = self._launch.order(self.number)
            process = await processes.start(
                self._launch.program, order, self._launch.log, self._stir.set
            )
        except OSError as error:
            return f"could not be started: {error.strerror}"
        self._process = process
        hangs = False
        try:
            while process.exit_code is None and not self._is_leaving and not hangs:
                process.beat()
                await processes.pause(self._stir, BEAT_SECONDS)
                hangs = process.silent_seconds > SILENCE_SECONDS
        finally:
            # A task that is cancelled ends its process by itself: nobody may be left to ask it to.
            if not self._is_leaving:
                self._deadline = time.monotonic() + (0 if hangs else DRAIN_SECONDS)
            await process.end(lambda: self._deadline)
            self._bury(process)
        return "said nothing for too long" if hangs else _described(process.exit_code)

    def _bury(self, process: InstanceProcess) -> None:
        status = process.status
        self._past_total += status.total
        self._past_rejected += status.rejected
        self._last_message_at = status.last_message_at or self._last_message_at
        self._process = None
        self.kills += self._is_leaving and process.was_killed
        if process.exit_code == TERMINAL_EXIT:
            error = status.error or f"instance {self.number} gave up without a reason"
            cause = status.cause or Cause.CRASH
            self.failure = Failure(cause=cause, error=journal.one_line(error))

    async def _judge(self, ended: str, lived_seconds: float) -> None:
        """Decide what follows an end that nobody asked for."""
        self._deadline = float("inf")
        if self.failure is not None:
            return
        self._history = self._history.after_end(time.monotonic(), lived_seconds)
        if self._history.is_hopeless:
            self.failure = Failure(
                cause=Cause.RESTART_LIMIT,
                error=f"Instance {self.number} ended more than {MAX_ENDS} times within "
                f"{PERIOD_SECONDS / 60:.0f} minutes; the last time it {ended}. "
                f"What it printed is in {self._launch.log.path}.",
            )
            return
        delay_seconds = self._history.delay_seconds
        self._launch.log.note(
            f"instance {self.number} {ended}; it is started again in {delay_seconds:.0f} s"
        )
        self._restarts += 1
        self._stir.clear()
        if not self._is_leaving:
            await processes.pause(self._stir, delay_seconds)


def _described(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"
