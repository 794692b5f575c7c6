"""Text files that several processes append to, one line an event."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path


def append(path: Path, line: str, header: str = "") -> None:
    """Append one line, whole, after those of other processes; `header` starts a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        is_new = os.fstat(file.fileno()).st_size == 0
        file.write(((header if is_new else "") + line).encode())


def one_line(text: str) -> str:
    """Escape what could forge a line, a column or a terminal command, as a file name may."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def timestamp(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
