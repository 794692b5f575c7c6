"""One sample for each way in which a file breaks an agreement, so that a newcomer sees them all."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import attrs
from vega_datasets import local_data

from mysimbdp.samples import taxi

MEGABYTE = 2**20
#: Just above tenant2's agreement: 350MB a file, 0.5GB in the staging area.
TOO_LARGE_BYTES = 351 * MEGABYTE
UNFINISHED_UPLOAD_BYTES = 513 * MEGABYTE
TRIPS = 1_000


class Outcome(StrEnum):
    """What the platform does with a sample."""

    REJECTED = "rejected"
    FAILED = "failed"
    LOADED = "loaded"
    WAITS = "waits"


@attrs.frozen(kw_only=True)
class Sample:
    """A file that shows one rule.

    Attributes:
        make: writes the file, and what it needs beside it, into an inbox and returns its path.
        outcome: what becomes of the file.
        code: the violation of a rejected file (it may have others, too), the cause of a failed one;
            None for the others.
        why: the rule in one sentence.

    """

    name: str
    tenant: str
    subdirectory: str
    make: Callable[[Path], Path]
    outcome: Outcome = Outcome.REJECTED
    code: str | None = None
    why: str


def _json_file(folder: Path) -> Path:
    return _write(folder / "cars.json", local_data.cars.raw())


def _json_named_csv(folder: Path) -> Path:
    return _write(folder / "cars-as-trips.csv", local_data.cars.raw())


def _program_named_csv(folder: Path) -> Path:
    return _write(folder / "program.csv", b"\x7fELF\x02\x01\x01" + bytes(4_096))


def _archive_named_csv(folder: Path) -> Path:
    path = folder / "archive.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("trips.csv", ",".join(taxi.COLUMNS) + "\n")
    return path


def _too_large(folder: Path) -> Path:
    # The size alone refuses it; the rest of the file is a hole that takes no disk.
    path = _trips(folder / "too-large.csv", seed=11)
    os.truncate(path, TOO_LARGE_BYTES)
    return path


def _no_space_left(folder: Path) -> Path:
    upload = _trips(folder / "large-upload.csv.part", seed=12)
    os.truncate(upload, UNFINISHED_UPLOAD_BYTES)
    return _trips(folder / "no-space-left.csv", seed=13)


def _empty(folder: Path) -> Path:
    return _write(folder / "empty.csv", b"")


def _unfinished(folder: Path) -> Path:
    return _trips(folder / "unfinished.csv.part", seed=14)


def _hidden(folder: Path) -> Path:
    return _trips(folder / ".hidden.csv", seed=15)


def _link(folder: Path) -> Path:
    path = folder / "link.csv"
    path.symlink_to("/etc/passwd")
    return path


def _second_name(folder: Path) -> Path:
    path = folder / "second-name.csv"
    path.hardlink_to(_trips(folder / ".first-name.csv", seed=21))
    return path


def _climbing_name(folder: Path) -> Path:
    # On Linux this is one name; a program of another system reads a path in it.
    return _trips(folder / r"..\..\tenant1\taxi\climbing.csv", seed=16)


def _unreadable(folder: Path) -> Path:
    path = _trips(folder / "unreadable.csv", seed=17)
    path.chmod(0)
    return path


def _duplicate(folder: Path) -> Path:
    _trips(folder / "monday-1.csv", seed=18)
    return _trips(folder / "monday-2-again.csv", seed=18)


def _some_bad_rows(folder: Path) -> Path:
    return _trips(folder / "some-refunds.csv", seed=19, refund_ratio=0.005)


def _many_bad_rows(folder: Path) -> Path:
    return _trips(folder / "many-refunds.csv", seed=20, refund_ratio=0.5)


def _trips(path: Path, seed: int, refund_ratio: float = 0.0) -> Path:
    taxi.write_taxi(path, rows=TRIPS, seed=seed, refund_ratio=refund_ratio)
    return path


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


SAMPLES: tuple[Sample, ...] = (
    Sample(
        name="file type not agreed",
        tenant="tenant1",
        subdirectory="taxi",
        make=_json_file,
        code="unsupported_type",
        why="tenant1 agreed on CSV files only; this one is JSON.",
    ),
    Sample(
        name="file too large",
        tenant="tenant2",
        subdirectory="taxi",
        make=_too_large,
        code="too_large",
        why="tenant2 agreed on at most 350MB a file; this one has 351MB.",
    ),
    Sample(
        name="staging space used up",
        tenant="tenant2",
        subdirectory="taxi",
        make=_no_space_left,
        code="staging_full",
        why="An unfinished upload takes more than the 0.5GB that tenant2 may stage.",
    ),
    Sample(
        name="JSON named .csv",
        tenant="tenant1",
        subdirectory="taxi",
        make=_json_named_csv,
        code="wrong_content",
        why="The content decides about the type, not the name.",
    ),
    Sample(
        name="program named .csv",
        tenant="tenant2",
        subdirectory="taxi",
        make=_program_named_csv,
        code="wrong_content",
        why="Programs are not data, whatever they are called.",
    ),
    Sample(
        name="archive named .csv",
        tenant="tenant2",
        subdirectory="taxi",
        make=_archive_named_csv,
        code="wrong_content",
        why="Archives are not unpacked in the staging area.",
    ),
    Sample(
        name="empty file",
        tenant="tenant1",
        subdirectory="taxi",
        make=_empty,
        code="empty_file",
        why="A file without a byte is an accident, not data.",
    ),
    Sample(
        name="symbolic link",
        tenant="tenant1",
        subdirectory="taxi",
        make=_link,
        code="symlink",
        why="A link could name a file of somebody else; links are not followed.",
    ),
    Sample(
        name="second name of a file",
        tenant="tenant1",
        subdirectory="taxi",
        make=_second_name,
        code="hard_link",
        why="Whoever holds the other name could change the file while it is read.",
    ),
    Sample(
        name="name that climbs out",
        tenant="tenant2",
        subdirectory="taxi",
        make=_climbing_name,
        code="path_traversal",
        why="A name must not read as a path into another folder.",
    ),
    Sample(
        name="unreadable file",
        tenant="tenant1",
        subdirectory="taxi",
        make=_unreadable,
        code="unreadable",
        why="The platform may not read the file; its owner has to allow it.",
    ),
    Sample(
        name="same content again",
        tenant="tenant1",
        subdirectory="taxi",
        make=_duplicate,
        code="duplicate",
        why="The content decides: a loaded file under another name is still the same file.",
    ),
    Sample(
        name="too many bad rows",
        tenant="tenant2",
        subdirectory="taxi",
        make=_many_bad_rows,
        outcome=Outcome.FAILED,
        code="too_many_rejects",
        why="Half of the trips have a negative fare; the registration tolerates far fewer.",
    ),
    Sample(
        name="a few bad rows",
        tenant="tenant2",
        subdirectory="taxi",
        make=_some_bad_rows,
        outcome=Outcome.LOADED,
        why="The good rows are stored, the few bad ones are kept with their reason.",
    ),
    Sample(
        name="unfinished upload",
        tenant="tenant1",
        subdirectory="taxi",
        make=_unfinished,
        outcome=Outcome.WAITS,
        why="A .part file waits in the inbox until its writer renames it.",
    ),
    Sample(
        name="hidden file",
        tenant="tenant1",
        subdirectory="taxi",
        make=_hidden,
        outcome=Outcome.WAITS,
        why="A file whose name starts with a dot is not meant to be seen.",
    ),
)
