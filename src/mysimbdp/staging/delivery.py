"""Copying a file into an inbox, where it appears whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from mysimbdp import errors
from mysimbdp.staging import area

#: Large enough to cost no time between chunks, small enough for a lively progress bar.
_CHUNK_BYTES = 16 * 2**20
_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NO_SUCH_RENAME = frozenset({errno.EINVAL, errno.ENOSYS})
#: What the kernel says when two file systems cannot copy between themselves.
_NO_RANGE_COPY = frozenset({errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP})


def problem(source: Path, inbox: Path) -> str | None:
    """Tell why `source` cannot be staged, in one sentence; None if it can."""
    name = source.name
    try:
        mode = source.stat().st_mode
    except OSError as error:
        return f"{source} cannot be staged: {error.strerror}."
    if not stat.S_ISREG(mode):
        return f"{source} is not a regular file."
    if not os.access(source, os.R_OK):
        return f"{source} cannot be read; you lack the permission."
    if name.startswith(".") or name.endswith(area.UNFINISHED_SUFFIXES):
        return f"{source} looks hidden or unfinished and would wait for ever; rename it first."
    if os.path.lexists(inbox / name):
        return _waits_already(name)
    return None


def deliver(source: Path, inbox: Path, on_copied: Callable[[int], None]) -> Path:
    """Copy `source` into `inbox` under its own name.

    The copy is on disk before it gets its name; until then it is hidden, and an interruption
    removes it.

    Args:
        source: the file.
        inbox: the folder; it exists.
        on_copied: called with the bytes of each chunk.

    Raises:
        UsageError: a file of that name waits in the inbox, or the source changes meanwhile.
        StagingError: the file system refuses.

    """
    target = inbox / source.name
    draft = inbox / f".{source.name}.{secrets.token_hex(4)}.part"
    try:
        _copy(source, draft, on_copied)
        _rename_to_new(draft, target)
        _sync_folder(inbox)
    except OSError as error:
        _refuse(error, source, inbox)
    finally:
        draft.unlink(missing_ok=True)
    return target


def _rename_to_new(source: Path, target: Path) -> None:
    """Rename without replacing a file that waits.

    Where the file system cannot, a link does it, which for a moment gives the file two names.
    """
    places = (_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target))
    if _libc.renameat2(*places, _RENAME_NOREPLACE) == 0:
        return
    number = ctypes.get_errno()
    if number not in _NO_SUCH_RENAME:
        raise OSError(number, os.strerror(number), str(target))
    os.link(source, target)
    source.unlink()


def _copy(source: Path, draft: Path, on_copied: Callable[[int], None]) -> None:
    with source.open("rb", buffering=0) as reader, draft.open("xb", buffering=0) as writer:
        before = os.fstat(reader.fileno())
        for count in _chunks(reader.fileno(), writer.fileno(), before.st_size):
            on_copied(count)
        after = os.fstat(reader.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise errors.UsageError(
                f"{source} changed while it was copied; stage it when it is complete."
            )
        os.fsync(writer.fileno())


def _chunks(reader: int, writer: int, size: int) -> Iterator[int]:
    """Copy `size` bytes inside the kernel, fewer if the file ends; yield those of each chunk."""
    copied = 0
    try:
        while count := os.copy_file_range(reader, writer, min(_CHUNK_BYTES, size - copied)):
            copied += count
            yield count
    except OSError as error:
        if error.errno not in _NO_RANGE_COPY:
            raise
    # Some file systems end a range copy early without an error; this finds the rest.
    while count := os.sendfile(writer, reader, None, min(_CHUNK_BYTES, size - copied)):
        copied += count
        yield count


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _waits_already(name: str) -> str:
    return (
        f"A file named {name} waits in the inbox already; rename yours or wait until it is taken."
    )


def _refuse(error: OSError, source: Path, inbox: Path) -> NoReturn:
    if isinstance(error, FileExistsError):
        raise errors.UsageError(_waits_already(source.name)) from error
    raise errors.StagingError(
        f"{source} could not be staged in {inbox}: {error.strerror}. Nothing was left there.",
        inbox=str(inbox),
    ) from error
