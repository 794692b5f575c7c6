"""A tenant's staging area on disk: inbox, claimed, loaded, rejected; every move is one rename.

The inbox is tenant territory and hostile: nothing in it is followed or trusted. A claimed file sits
alone in the folder of its ingestion, and that folder moves as a whole, so that a file and the
reason beside it arrive together.
"""

from __future__ import annotations

import errno
import fcntl
import fnmatch
import json
import os
import signal
import stat
import time
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import attrs

from mysimbdp import errors, naming

#: A file younger than this may still grow between two writes of its producer.
QUIET_SECONDS = 1.0
UNFINISHED_SUFFIXES = (".part", ".tmp", ".filepart", ".crdownload", "~")
REASON_FILE = "reason.json"


@attrs.frozen(kw_only=True)
class Archived:
    """A file that was loaded on some day: its earlier ingestion, its name and where it is."""

    ingestion: str
    name: str
    path: Path


@attrs.frozen
class Area:
    """One subdirectory of one tenant below the staging root. Used by triggerer, worker and CLI."""

    root: Path
    tenant: str
    subdirectory: str

    @property
    def inbox(self) -> Path:
        """Take the tenant's files."""
        return self.root / self.tenant / self.subdirectory

    def claimed(self, ingestion: str) -> Path:
        """Hold the file of an ingestion under way."""
        return self._state_folder("claimed") / ingestion

    def loaded(self, day: date) -> Path:
        """Keep what was loaded on a day."""
        return self._state_folder("loaded") / day.isoformat()

    def rejected(self, day: date) -> Path:
        """Keep what was refused on a day, each file beside its reason."""
        return self._state_folder("rejected") / day.isoformat()

    def _state_folder(self, state: str) -> Path:
        return self.root / self.tenant / state / self.subdirectory

    def ready(self, pattern: str = "*") -> list[str]:
        """List the complete files of the inbox by name; hidden and unfinished ones wait.

        Links, devices and the like are listed too: admission refuses them with a reason.
        """
        return sorted(
            name for name in _complete_entries(self.inbox) if fnmatch.fnmatchcase(name, pattern)
        )

    def claim(self, name: str, ingestion: str) -> bool:
        """Move a file from the inbox into the folder of its ingestion.

        Returns:
            False when the file is gone, because another run claimed it first.

        """
        folder = self.claimed(ingestion)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            (self.inbox / name).rename(folder / name)
        except FileNotFoundError:
            if (folder / name).is_symlink() or (folder / name).exists():
                return True
            folder.rmdir()
            return False
        return True

    def settle(self, ingestion: str, target: Path, reason: Mapping[str, Any] | None = None) -> Path:
        """Move an ingestion's folder to `target` (a day's folder), with the reason inside.

        Returns:
            The folder's new place; settling twice is harmless.

        """
        source, destination = self.claimed(ingestion), target / ingestion
        if not source.exists() and destination.exists():
            return destination
        if reason is not None:
            _write_whole(source / REASON_FILE, json.dumps(reason, indent=2, default=str) + "\n")
        target.mkdir(parents=True, exist_ok=True)
        source.rename(destination)
        return destination

    def archived(self, day_pattern: str, name_pattern: str = "*") -> list[Archived]:
        """List what was loaded on the days that match (`2026-11-22`, `2026-11-*`)."""
        return [
            Archived(ingestion=folder.name, name=path.name, path=path)
            for day in sorted(self._state_folder("loaded").glob(day_pattern))
            for folder in sorted(day.iterdir())
            for path in sorted(folder.iterdir())
            if fnmatch.fnmatchcase(path.name, name_pattern)
        ]


def used_bytes(root: Path, tenant: str) -> int:
    """Add up what a tenant's inboxes and claimed files take; settled files are the provider's."""
    settled = {"loaded", "rejected"}
    return sum(
        entry.stat(follow_symlinks=False).st_size
        for folder in _subfolders(root / tenant)
        if folder.name not in settled
        for entry in _walk_files(folder)
    )


def scan(root: Path) -> dict[tuple[str, str], list[str]]:
    """Find the complete files of every inbox below the staging root, in one pass."""
    found: dict[tuple[str, str], list[str]] = {}
    for tenant in _subfolders(root):
        for folder in _subfolders(tenant):
            if folder.name in naming.STAGING_FOLDERS:
                continue
            names = _names_or_none(folder)
            if names:
                found[tenant.name, folder.name] = names
    return found


def _names_or_none(folder: Path) -> list[str]:
    """List an inbox for the scan of all: one that cannot be read must not hide the others."""
    try:
        return sorted(_complete_entries(folder))
    except errors.StagingError:
        return []


def _complete_entries(folder: Path) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.StagingError(
            f"The inbox {folder} cannot be read: {error.strerror}.", folder=str(folder)
        ) from error
    for entry in entries:
        if not _is_unfinished_name(entry.name) and _is_complete(entry):
            yield entry.name


def _is_unfinished_name(name: str) -> bool:
    """Tell whether a file is hidden or has a name of files that still grow.

    A name that reads as a path on another system does not wait: it is to be refused.
    """
    is_hidden = name.startswith(".") and "\\" not in name
    return is_hidden or name.endswith(UNFINISHED_SUFFIXES)


def _is_complete(entry: os.DirEntry[str]) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(status.st_mode):
        return False
    if not stat.S_ISREG(status.st_mode):
        return True
    is_quiet = abs(time.time() - status.st_mtime) >= QUIET_SECONDS
    return is_quiet and not _is_open_for_writing(entry.path)


def _is_open_for_writing(path: str) -> bool:
    """Ask the kernel for a read lease, which it refuses while anybody may still write.

    Only the owner (or root) may ask, and only on a local file system; elsewhere the quiet time
    alone decides.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # A writer that comes now breaks the lease with a signal; SIGIO would end this process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    finally:
        os.close(descriptor)
    return False


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _walk_files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk_files(Path(entry.path))
                else:
                    yield entry
    except FileNotFoundError:
        return


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.rename(path)
