"""Limits that a child puts on itself before it meets tenant code."""

from __future__ import annotations

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_MAX_OPEN_FILES = 256
_MAX_FILE_BYTES = 1024**3
#: Room for thread stacks and allocator reserves, which count as data but are never resident. The
#: watchdog holds the agreed figure; this wall only stops what grows faster than it looks.
_DATA_HEADROOM_BYTES = 1024**3

_libc = ctypes.CDLL(None, use_errno=True)


def confine(memory_bytes: int, parent: int) -> None:
    """Tie this process to its parent's life and set its resource limits. Runs in the child.

    A parent that is gone already ends this process at once: nobody would stop it later.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if os.getppid() != parent:
        os._exit(os.EX_UNAVAILABLE)
    data_bytes = memory_bytes + _DATA_HEADROOM_BYTES
    for limit, value in (
        (resource.RLIMIT_DATA, data_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
        (resource.RLIMIT_FSIZE, _MAX_FILE_BYTES),
    ):
        resource.setrlimit(limit, (value, value))


def die_with_parent() -> None:
    """Let the kernel end this process when the process that started it is gone."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of what its children leave behind, so that it can end them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
