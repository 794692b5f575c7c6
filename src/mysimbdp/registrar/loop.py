"""Watch the committed files and reconcile for ever; no error ends this."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import structlog

from mysimbdp import errors
from mysimbdp.registrar.changes import Change

Fingerprint = frozenset[tuple[str, int, int]]

LOOK_SECONDS = 2.0
AUDIT_SECONDS = 30.0

#: A checkout replaces files one by one; a tree that just changed is looked at again after this.
_SETTLE_SECONDS = 0.5
_LONGEST_RETRY_SECONDS = 30.0
#: With very many tenants a pass costs the servers something; it takes a tenth of the time at most.
_LONGEST_SHARE = 0.1

_log = structlog.get_logger(__name__)


@attrs.define
class Loop:
    """Reconciles at every change of the tree, and regularly, until `stop` is set."""

    reconcile: Callable[[], list[Change]]
    home: Path
    stop: threading.Event
    _seen: Fingerprint | None = attrs.field(default=None, init=False)
    _due: float = attrs.field(default=0.0, init=False)
    _failures: int = attrs.field(default=0, init=False)
    _last_error: str | None = attrs.field(default=None, init=False)

    def run(self) -> None:
        """Go on until told to stop."""
        while not self.stop.is_set():
            current = fingerprint(self.home)
            if current != self._seen or time.monotonic() >= self._due:
                self._seen = self._settled(current)
                self._pass_once()
            left_seconds = max(self._due - time.monotonic(), 0.0)
            self.stop.wait(min(LOOK_SECONDS, left_seconds))

    def _settled(self, current: Fingerprint) -> Fingerprint:
        while current != self._seen and not self.stop.wait(_SETTLE_SECONDS):
            self._seen, current = current, fingerprint(self.home)
        return current

    def _pass_once(self) -> None:
        started = time.monotonic()
        error = self._attempt()
        took_seconds = time.monotonic() - started
        if error is None:
            if self._last_error:
                _log.info("reconciles again")
            self._failures = 0
            pause_seconds = max(AUDIT_SECONDS, took_seconds / _LONGEST_SHARE)
        else:
            if error != self._last_error:
                _log.error("cannot reconcile, tries again", reason=error)
            self._failures += 1
            pause_seconds = min(2.0 ** (self._failures - 1), _LONGEST_RETRY_SECONDS)
        self._last_error = error
        self._due = time.monotonic() + pause_seconds

    def _attempt(self) -> str | None:
        try:
            self.reconcile()
        except errors.PlatformError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the process either
            if str(error) != self._last_error:
                _log.exception("unexpected error")
            return str(error)
        return None


def fingerprint(home: Path) -> Fingerprint:
    """Take names, times and sizes of the agreements, the registrations and the tenants' code."""
    folders = [home / "constraints", *(home / "tenant_pipelines").glob("*/")]
    return frozenset(
        (str(path), status.st_mtime_ns, status.st_size)
        for folder in folders
        for pattern in ("*.yaml", "*.py")
        for path in folder.glob(pattern)
        if (status := _status(path)) is not None
    )


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
