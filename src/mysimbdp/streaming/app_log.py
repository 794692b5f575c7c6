"""What an app's instances print, and what became of them: `logs/streams/<tenant>.<app>.log`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import attrs

from mysimbdp import naming
from mysimbdp.reporting import journal

FOLDER_NAME = "streams"
#: A full file becomes the `.1` of its name, the older one goes.
MAX_FILE_BYTES = 8 * 1024 * 1024
#: What is printed faster than this is left out: the triggerer has more to do than to write it.
MAX_BYTES_PER_SECOND = 64 * 1024


@attrs.define
class AppLog:
    """The log of one app; several processes may write at once. A full disk loses lines only."""

    path: Path
    _second: int = attrs.field(default=0, init=False)
    _written_bytes: int = attrs.field(default=0, init=False)

    def note(self, text: str) -> None:
        """Write one line of the supervisor."""
        self._append(_line("supervisor", text))

    def pass_on(self, origin: str, lines: Iterable[bytes]) -> None:
        """Write what an instance printed, as much of it as fits into this second."""
        kept = []
        for line in lines:
            text = _line(origin, line.decode(errors="replace"))
            if not self._fits(len(text)):
                break
            kept.append(text)
        if kept:
            self._append("".join(kept))

    def _fits(self, size_bytes: int) -> bool:
        now = int(time.monotonic())
        if now != self._second:
            self._second, self._written_bytes = now, 0
        self._written_bytes += size_bytes
        return self._written_bytes <= MAX_BYTES_PER_SECOND

    def _append(self, text: str) -> None:
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                if self.path.stat().st_size >= MAX_FILE_BYTES:
                    self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            journal.append(self.path, text)


def in_folder(logs: Path, tenant: str, app: str) -> AppLog:
    """Place an app's log below the folder of the logs."""
    return AppLog(logs / FOLDER_NAME / f"{naming.stream_app(tenant, app)}.log")


def _line(origin: str, text: str) -> str:
    return f"{journal.timestamp(datetime.now(UTC))} {origin} {journal.one_line(text)}\n"
