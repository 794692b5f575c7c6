"""Read the end of a log for the line that says what went wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

_TAIL_BYTES = 64 * 1024
_LONGEST_LINE = 300
_COMPLAINT = re.compile(
    r"(?<!on this )error|exception|fatal|critical|address already in use", re.IGNORECASE
)


def last_error(log: Path) -> str:
    """Return the last line that complains, else the last line at all."""
    lines = [_readable(line) for line in _tail(log)]
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    return (complaints or lines or ["it printed nothing"])[-1][:_LONGEST_LINE]


def first_with_text(logs: Sequence[Path]) -> Path:
    """Return the first log that has any text, else the first."""
    written = [log for log in logs if log.is_file() and log.stat().st_size]
    return (written or list(logs))[0]


def _tail(log: Path) -> list[str]:
    if not log.is_file():
        return []
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = stream.read().decode(errors="replace")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _readable(line: str) -> str:
    """Shorten a line of mongod, which logs JSON, to its severity and message."""
    try:
        entry = json.loads(line)
        severity = {"E": "error", "F": "fatal"}.get(entry["s"], "note")
        return f"{severity}: {entry['msg']} {json.dumps(entry.get('attr', {}))}"
    except (ValueError, KeyError, TypeError):
        return line
