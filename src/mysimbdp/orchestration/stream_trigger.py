"""What supervises a stream app while its task is deferred."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from mysimbdp import errors
from mysimbdp.orchestration import stream_reign
from mysimbdp.orchestration.stream_reign import HANDOVER_SECONDS, Reign
from mysimbdp.streaming.supervisor import End, Ending

LEASE_SECONDS = 3600.0
_log = logging.getLogger(__name__)

#: Reigns between two triggers of the same run; each ends by itself if nobody takes it up.
_handed_over: dict[tuple[str, str, str], Reign] = {}


class StreamTrigger(BaseTrigger):
    """Supervise a stream app until it stops, fails, or the lease is over.

    At the end of the lease the instances go on: the task defers again, and the next trigger takes
    them up. If that one is in another triggerer, it takes the app over and these drain.
    """

    def __init__(
        self, tenant: str, app: str, run_id: str, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        # An exception here would end all triggers of the triggerer: nothing is looked at.
        super().__init__()  # type: ignore[no-untyped-call]
        self.tenant = tenant
        self.app = app
        self.run_id = run_id
        self.lease_seconds = lease_seconds
        self._reign: Reign | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes this trigger again; no login is in it."""
        return (
            f"{__name__}.{type(self).__name__}",
            {
                "tenant": self.tenant,
                "app": self.app,
                "run_id": self.run_id,
                "lease_seconds": self.lease_seconds,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event: how the supervision ended."""
        try:
            payload = await self._supervise()
        except errors.PlatformError as error:
            payload = {"end": End.FAILED.value, "cause": None, "error": str(error)}
        except Exception as error:  # noqa: BLE001 - the task is to hear of it, whatever it is
            _log.exception("The supervision of %s.%s failed.", self.tenant, self.app)
            message = f"{type(error).__name__}: {error}"
            payload = {"end": End.FAILED.value, "cause": None, "error": message}
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def cleanup(self) -> None:
        """Leave no process behind, whatever ended this trigger."""
        if self._reign is not None:
            if not self._reign.task.cancelling():
                self._reign.task.cancel()
            await asyncio.wait([self._reign.task])

    async def _supervise(self) -> dict[str, Any]:
        key = (self.tenant, self.app, self.run_id)
        reign = self._reign = _handed_over.pop(key, None)
        if reign is not None and not reign.task.done():
            await reign.renew(self.lease_seconds + HANDOVER_SECONDS)
        else:
            self._reign = None
            reign = self._reign = await stream_reign.begin(
                *key, self.lease_seconds + HANDOVER_SECONDS
            )
        await asyncio.wait([reign.task], timeout=self.lease_seconds)
        self._reign = None
        if reign.task.done():
            return _payload(reign.task.result(), reign.epoch)
        _handed_over[key] = reign
        reign.task.add_done_callback(lambda _: _handed_over.pop(key, None))
        return {"end": End.LEASE.value, "epoch": reign.epoch}


def _payload(ending: Ending, epoch: int) -> dict[str, Any]:
    return {
        "end": ending.end.value,
        "cause": ending.failure and ending.failure.cause,
        "error": ending.failure and ending.failure.error,
        "kills": ending.kills,
        "total": ending.sums.total,
        "rejected": ending.sums.rejected,
        "last_message_at": ending.sums.last_message_at,
        "epoch": epoch,
    }
