"""Processes of the stack that outlived their supervisor."""

from __future__ import annotations

import contextlib
import os
import time

import psutil

from mysimbdp.local_stack.programs import MARKER
from mysimbdp.settings import Settings

_PATIENCE_SECONDS = 8.0
_POLL_SECONDS = 0.1


def find(settings: Settings) -> list[psutil.Process]:
    """Return the processes of this state folder's stack, the supervisor included.

    A process is one of them if it carries our marker in its environment, descends from one that
    does, or is in the supervisor's session (some of Airflow's processes hide their environment).
    The caller and its ancestors are never among them.
    """
    me = psutil.Process()
    own = {process.pid for process in (me, *me.parents())}
    mine = [process for process in psutil.process_iter() if _belongs_to_me(process)]
    marked = [process for process in mine if _marker(process) == str(settings.state)]
    sessions = _sessions(marked)
    family = {process.pid for process in marked}
    for process in marked:
        family |= _descendants(process)
    return [
        process
        for process in mine
        if process.pid not in own and (process.pid in family or _session(process) in sessions)
    ]


def end(settings: Settings) -> int:
    """End them, asking first and then by force; return how many there were."""
    ended: set[int] = set()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (found := find(settings)) and time.monotonic() < deadline + _PATIENCE_SECONDS:
        forced = time.monotonic() > deadline
        for process in found:
            if forced or process.pid not in ended:
                ended.add(process.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill() if forced else process.terminate()
        time.sleep(_POLL_SECONDS)
    return len(ended)


def _belongs_to_me(process: psutil.Process) -> bool:
    try:
        return process.uids().real == os.getuid() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _marker(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARKER)
    except (psutil.Error, OSError):
        return None


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None


def _sessions(marked: list[psutil.Process]) -> set[int | None]:
    """Return the sessions that the stack made: their leader is marked, or has died."""
    leaders = {process.pid for process in marked}
    found = {_session(process) for process in marked} - {None, os.getsid(0)}
    return {
        session
        for session in found
        if session in leaders or (session is not None and not psutil.pid_exists(session))
    }


def _descendants(process: psutil.Process) -> set[int]:
    try:
        return {child.pid for child in process.children(recursive=True)}
    except psutil.Error:
        return set()
