"""May this file be ingested? Pure rules over what is known of it; every violation at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal

import attrs

from mysimbdp.agreements.model import Agreement, FileType

Kind = Literal["file", "symlink", "directory", "fifo", "socket", "device"]

#: Other names of a file type, as extensions.
_ALIASES = {"JSONL": "JSON", "NDJSON": "JSON"}
_MEGABYTE_BYTES = 2**20


@attrs.frozen
class Violation:
    """One rule of the agreement or the staging area that a file breaks."""

    code: str
    message: str


@attrs.frozen
class Finding:
    """What a file is by its content: None with the reason if it is nothing the platform reads."""

    format: FileType | None
    reason: str


@attrs.frozen(kw_only=True)
class Candidate:
    """What is known of a file when it asks for admission.

    Attributes:
        shown_path: the path as messages show it.
        escapes: the path leads out of the inbox.
        format_by_name: see `format_by_name`.
        finding: None if the content was not looked at; only a regular, readable file is opened.
        staging_used_bytes: what the tenant's waiting files take, this one included.
        running: the tenant's ingestions under way, this one not counted.
        duplicate_of: the earlier file of the same content, such as "trips.csv, loaded before".

    """

    tenant: str
    name: str
    shown_path: str
    kind: Kind
    links: int
    readable: bool
    escapes: bool
    size_bytes: int
    format_by_name: str
    finding: Finding | None
    staging_used_bytes: int
    running: int
    duplicate_of: str | None


def format_by_name(name: str) -> str:
    """Tell a file's format by its last extension, in upper case; empty if it has none."""
    extension = PurePosixPath(name).suffix.removeprefix(".").upper()
    return _ALIASES.get(extension, extension)


def judge(
    candidate: Candidate, agreement: Agreement, pipeline_formats: tuple[FileType, ...] | None
) -> tuple[Violation, ...]:
    """Find every rule that the file breaks, the cheap ones first; none means it is admitted.

    `pipeline_formats` are those that the subdirectory's registration names; None means all that
    the agreement names.
    """
    place = tuple(_place(candidate))
    if candidate.kind != "file":
        # Size and type of a link or device say nothing about data.
        return place
    return (
        *place,
        *_type(candidate, agreement.data_constraints.file_types, pipeline_formats),
        *_size(candidate, agreement),
        *_content(candidate),
        *_service(candidate, agreement),
        *_history(candidate),
    )


def _place(candidate: Candidate) -> Iterator[Violation]:
    shown = _printable(candidate.shown_path)
    if candidate.escapes or _reads_as_path(candidate.name):
        yield Violation(
            "path_traversal",
            f"File {shown} does not stay in its folder. Expected a plain file name directly in "
            "the subdirectory, found a name or path that leads elsewhere.",
        )
    if candidate.kind == "symlink":
        yield Violation(
            "symlink",
            f"File {shown} is a symbolic link. Expected a regular file, found a link, which is "
            "not followed.",
        )
    elif candidate.kind != "file":
        yield Violation(
            "not_a_file",
            f"File {shown} is not a file. Expected a regular file, found a {candidate.kind}.",
        )
    elif candidate.links > 1:
        yield Violation(
            "hard_link",
            f"File {shown} has other names. Expected 1 hard link, found {candidate.links}; "
            "stage a copy instead.",
        )
    if candidate.kind == "file" and not candidate.readable:
        yield Violation(
            "unreadable",
            f"File {shown} cannot be read. Expected read permission for the platform, found none.",
        )


def _type(
    candidate: Candidate, agreed: tuple[FileType, ...], registered: tuple[FileType, ...] | None
) -> Iterator[Violation]:
    found = _printable(candidate.format_by_name) or "(no extension)"
    if candidate.format_by_name not in agreed:
        whom, supported = candidate.tenant, agreed
    elif registered is not None and candidate.format_by_name not in registered:
        whom, supported = f"this subdirectory of {candidate.tenant}", registered
    else:
        return
    yield Violation(
        "unsupported_type",
        f"Filetype {found} not supported for {whom}. "
        f"Supported filetypes: {[str(file_type) for file_type in supported]}",
    )


def _size(candidate: Candidate, agreement: Agreement) -> Iterator[Violation]:
    shown, limit = _printable(candidate.shown_path), agreement.data_constraints.max_file_size
    if candidate.size_bytes == 0:
        yield Violation("empty_file", f"File {shown} is empty. Expected data, found 0 bytes.")
    if candidate.size_bytes > limit.bytes:
        yield Violation(
            "too_large", f"File {shown} is too large ({candidate.size_bytes} > {limit})."
        )


def _content(candidate: Candidate) -> Iterator[Violation]:
    named, finding = candidate.format_by_name, candidate.finding
    if finding is None or finding.format == named or candidate.size_bytes == 0:
        return
    if named in list(FileType):
        yield Violation(
            "wrong_content",
            f"File {_printable(candidate.shown_path)} is not what its name says. "
            f"Expected {named}, found {finding.reason}.",
        )


def _service(candidate: Candidate, agreement: Agreement) -> Iterator[Violation]:
    service = agreement.service_agreement
    if candidate.staging_used_bytes > service.storage_space_staging.bytes:
        yield Violation(
            "staging_full",
            "Too much data in staging directory. "
            f"Allowed: {_megabytes(service.storage_space_staging.bytes)}. "
            f"Current: {_megabytes(candidate.staging_used_bytes)}",
        )
    is_limit_reached = candidate.running >= service.max_concurrent_ingestions
    if service.on_concurrency_limit == "reject" and is_limit_reached:
        yield Violation(
            "too_many_ingestions",
            f"Too many concurrent ingestions for {candidate.tenant}. "
            f"Max: {service.max_concurrent_ingestions} Current: {candidate.running}.",
        )


def _history(candidate: Candidate) -> Iterator[Violation]:
    if candidate.duplicate_of is not None:
        yield Violation(
            "duplicate",
            f"File {_printable(candidate.shown_path)} is a duplicate. Expected new content, "
            f"found that of {_printable(candidate.duplicate_of)}.",
        )


def _reads_as_path(name: str) -> bool:
    return name in {"", ".", ".."} or any(character in name for character in "/\\\0")


def _megabytes(size_bytes: int) -> str:
    return f"{round(size_bytes / _MEGABYTE_BYTES, 2)} MB"


def _printable(text: str) -> str:
    """Keep a message on one line, whatever bytes a file name is made of."""
    return text if text.isprintable() else ascii(text)[1:-1]
