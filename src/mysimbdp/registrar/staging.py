"""Make the folders of a tenant's staging area."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mysimbdp import errors, naming

#: Others must not look in; the group of a tenant's folder may drop files in its inboxes.
_FOLDER_MODE = 0o750
_INBOX_MODE = 0o770


def ensure(root: Path, tenant: str, subdirectories: Iterable[str]) -> list[str]:
    """Make what is missing of a tenant's folders; return what was made, in words.

    Raises:
        StagingError: a folder cannot be made.

    """
    area = root / tenant
    private = (area, *(area / name for name in sorted(naming.STAGING_FOLDERS)))
    inboxes = [area / name for name in sorted(subdirectories)]
    made = [
        *(folder for folder in private if _make(folder, _FOLDER_MODE)),
        *(folder for folder in inboxes if _make(folder, _INBOX_MODE)),
    ]
    return [f"staging folder made: {folder.relative_to(root)}" for folder in made]


def _make(folder: Path, mode: int) -> bool:
    if folder.is_dir():
        return False
    try:
        folder.mkdir(parents=True)
        folder.chmod(mode)  # mkdir subtracts the umask
    except OSError as error:
        raise errors.StagingError(
            f"The staging folder {folder} cannot be made: {error.strerror}. "
            "Check the disk and the rights of its parent.",
            folder=str(folder),
        ) from error
    return True
