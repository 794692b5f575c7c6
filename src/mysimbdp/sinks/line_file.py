"""A file of lines on disk that one process appends to, and another one after its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from mysimbdp import errors

_LOOK_SECONDS = 0.05
_TAIL_BYTES = 64 * 1024


def take(lock: int, path: Path, owner_seconds: float) -> None:
    """Wait until no other process has the file; a process that ends lets go of it."""
    deadline = time.monotonic() + owner_seconds
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if time.monotonic() >= deadline:
            raise errors.ServiceUnavailableError(
                f"Another process has written to {path} for {owner_seconds:g} s; its partition "
                "cannot be taken over before that process ends."
            )
        time.sleep(_LOOK_SECONDS)


def cut_torn_line(file: int) -> int:
    """Cut off what follows the last line end, make the rest durable, and return its size."""
    size_bytes = os.fstat(file).st_size
    whole_bytes = _find_line_end(file, size_bytes) + 1
    if whole_bytes < size_bytes:
        os.ftruncate(file, whole_bytes)
    os.fsync(file)  # whoever wrote the last lines may have ended before
    return whole_bytes


def last_line(file: int, size_bytes: int) -> bytes:
    """Read the last line of a file that ends with a line end."""
    start = _find_line_end(file, size_bytes - 1) + 1
    return os.pread(file, size_bytes - start, start)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the system's errors into ours.

    Raises:
        ServiceUnavailableError: the disk is full or gone, or the rights are missing.

    """
    try:
        yield
    except OSError as error:
        raise errors.ServiceUnavailableError(
            f"The export {path} cannot be written: {error.strerror}. It is tried again; see to the "
            "disk."
        ) from error


def _find_line_end(file: int, before: int) -> int:
    """Return the place of the last line end before that place; -1 if there is none."""
    while before > 0:
        start = max(0, before - _TAIL_BYTES)
        found = os.pread(file, before - start, start).rfind(b"\n")
        if found >= 0:
            return start + found
        before = start
    return -1
