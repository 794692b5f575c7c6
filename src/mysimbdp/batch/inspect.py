"""Look at a claimed file without following or trusting it; the rules then judge what was found."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import attrs

from mysimbdp.agreements import admission
from mysimbdp.agreements.admission import Candidate, Kind
from mysimbdp.staging import probe

_READ_BITS = 0o444
_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}


@attrs.frozen(kw_only=True)
class Surroundings:
    """What admission must know besides the file itself."""

    tenant: str
    shown_path: str
    staging_used_bytes: int
    running: int


def inspect(path: Path, surroundings: Surroundings) -> Candidate:
    """Describe a file for admission; only a plain, readable, single-linked file is opened."""
    status = path.lstat()
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "device")
    is_readable = kind == "file" and _is_readable(path, status.st_mode)
    is_worth_reading = is_readable and status.st_nlink == 1 and status.st_size > 0
    return Candidate(
        tenant=surroundings.tenant,
        name=path.name,
        shown_path=surroundings.shown_path,
        kind=kind,
        links=status.st_nlink,
        readable=is_readable,
        escapes=kind == "symlink" and _leaves(path),
        size_bytes=status.st_size,
        format_by_name=admission.format_by_name(path.name),
        finding=probe.probe(path) if is_worth_reading else None,
        staging_used_bytes=surroundings.staging_used_bytes,
        running=surroundings.running,
        duplicate_of=None,
    )


def _is_readable(path: Path, mode: int) -> bool:
    """Tell whether the file may be read; a file that nobody may read is not meant for us either."""
    if not mode & _READ_BITS:
        return False
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOENT):
            return False
        raise
    return True


def _leaves(path: Path) -> bool:
    target = path.readlink()
    return target.is_absolute() or ".." in target.parts
