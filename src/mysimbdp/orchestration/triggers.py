"""What waits for files in the triggerer: a watcher of all inboxes, and manual runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from mysimbdp import errors
from mysimbdp.reporting import journal
from mysimbdp.staging import area

SCAN_SECONDS = 0.5
#: Pause after a scan that failed.
RECOVERY_SECONDS = 5.0
#: Files that wait are told again this often: a tenant that subscribes late must learn of them.
REPEAT_SECONDS = 1.0
#: A run lists its inbox about this long after the signal, so it takes what lands meanwhile.
GATHER_SECONDS = 2.0
#: A file still in the inbox after this long was not claimed: its run ended before. The pause
#: doubles each time, for when the platform cannot keep up, more runs would not help it.
UNCLAIMED_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 480.0
_LONGEST_PAYLOAD = 100

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

Found = dict[tuple[str, str], list[str]]


class InboxTrigger(BaseEventTrigger):
    """Signal that complete files wait in one inbox.

    All of them share one scan of the staging root. The event wakes a run up; what there is to
    ingest the run reads from the inbox itself.
    """

    def __init__(self, root: str, tenant: str, subdirectory: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.root = root
        self.tenant = tenant
        self.subdirectory = subdirectory

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes this trigger again."""
        return (
            f"{__name__}.{type(self).__name__}",
            {"root": self.root, "tenant": self.tenant, "subdirectory": self.subdirectory},
        )

    def shared_stream_key(self) -> Hashable:
        """Share one scan between all inboxes below a root."""
        return ("inboxes", self.root)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Found]:
        """Yield the complete files of every inbox, on a change and again while files wait."""
        root = Path(kwargs["root"])
        told: Found = {}
        told_at = time.monotonic()
        while True:
            found = await _attempt(partial(area.scan, root))
            if found is None:
                await asyncio.sleep(RECOVERY_SECONDS)
                continue
            repeats = bool(found) and time.monotonic() - told_at >= REPEAT_SECONDS
            if found != told or repeats:
                yield found
                told, told_at = found, time.monotonic()
            await asyncio.sleep(SCAN_SECONDS)

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Found]
    ) -> AsyncIterator[TriggerEvent]:
        """Yield a signal whenever this inbox holds files that nobody was told of."""
        signals = Signals()
        async for found in shared_stream:
            waiting = found.get((self.tenant, self.subdirectory), [])
            if names := signals.due(waiting, time.monotonic()):
                yield _event({"files": _shown(names), "count": len(names)})

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch alone; the triggerer joins the shared scan instead."""
        _, kwargs = self.serialize()
        async for event in self.filter_shared_stream(self.open_shared_stream(kwargs)):
            yield event


@attrs.frozen(kw_only=True)
class _Again:
    """When a file is signalled once more, if it is still there, and the pause before that."""

    at: float
    pause: float = UNCLAIMED_SECONDS

    def next(self, now: float) -> _Again:
        pause = min(self.pause * 2, LONGEST_PAUSE_SECONDS)
        return _Again(at=now + pause, pause=pause)


class Signals:
    """Remember which files of one inbox were signalled, and when to signal them again."""

    def __init__(self) -> None:
        self._again: dict[str, _Again] = {}
        self._gathers_until = float("-inf")

    def due(self, waiting: Sequence[str], now: float) -> list[str]:
        """Return the files to signal now, and take them as signalled."""
        self._again = {name: self._again[name] for name in waiting if name in self._again}
        if now < self._gathers_until:
            return []
        new = [name for name in waiting if name not in self._again]
        old = [name for name, again in self._again.items() if again.at <= now]
        self._again |= {name: self._again[name].next(now) for name in old}
        self._again |= {name: _Again(at=now + UNCLAIMED_SECONDS) for name in new}
        names = sorted(new + old)
        if names:
            self._gathers_until = now + GATHER_SECONDS
        return names


class FilesTrigger(BaseTrigger):
    """Wait until the inbox holds complete files of a pattern; end with their names, or none."""

    def __init__(self, root: str, tenant: str, subdirectory: str, pattern: str, until: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.root = root
        self.tenant = tenant
        self.subdirectory = subdirectory
        self.pattern = pattern
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what makes this trigger again; the deadline outlives a restart."""
        return (
            f"{__name__}.{type(self).__name__}",
            {
                "root": self.root,
                "tenant": self.tenant,
                "subdirectory": self.subdirectory,
                "pattern": self.pattern,
                "until": self.until,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the one event."""
        inbox = area.Area(Path(self.root), self.tenant, self.subdirectory)
        deadline = datetime.fromisoformat(self.until)
        names: list[str] = []
        while not names and datetime.now(UTC) < deadline:
            names = await _attempt(partial(inbox.ready, self.pattern)) or []
            await asyncio.sleep(0 if names else SCAN_SECONDS)
        yield _event(_shown(names))


def _event(payload: Any) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]


def _shown(names: Sequence[str]) -> list[str]:
    """Keep an event small, and names that are no text out of the triggerer's own messages."""
    return [journal.one_line(name) for name in names[:_LONGEST_PAYLOAD]]


async def _attempt(look: Callable[[], _T]) -> _T | None:
    """Look at the file system from a thread; None when that failed.

    An exception would end the trigger, and the shared scan ends for every tenant with it.
    """
    try:
        return await asyncio.to_thread(look)
    except (OSError, errors.PlatformError) as error:
        _log.warning("Looking for files failed; trying again: %s", error)
        return None
