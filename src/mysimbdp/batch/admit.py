"""Claim the complete files of an inbox and judge each against the agreement."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import attrs

from mysimbdp import errors, ledger
from mysimbdp.agreements import admission
from mysimbdp.batch import inspect, units
from mysimbdp.batch.desk import Desk, file_name
from mysimbdp.reporting.report import State
from mysimbdp.staging import area

#: A run takes at most so many files; the next run, which the watcher starts, takes the rest.
MAX_FILES_A_RUN = 5000
_ARCHIVE_PATTERN = re.compile(r"loaded/(?P<day>[0-9*?\[\]-]+)/(?P<name>[^/]+)")


def admit(
    desk: Desk,
    run_id: str,
    pattern: str = "*",
    day: date | None = None,
    *,
    has_ended: Callable[[str], bool] = lambda _run_id: False,
) -> list[list[str]]:
    """Take what is there and return work units: lists of ingestion ids.

    Called again for the same run, it goes on where the earlier attempt stopped. Ingestions that a
    run left behind when it ended are taken over.

    Args:
        desk: the tenant's pipeline.
        run_id: the DAG run; its ingestions are found by it later.
        pattern: file names in the inbox, or `loaded/<day>/<names>` for archived files.
        day: the archive's day that a backfill ingests again.
        has_ended: tells whether another run of this DAG has ended.

    """
    desk.ledger.begin_pass(desk.dag_id, run_id)
    _adopt(desk, run_id, has_ended)
    archive = _ARCHIVE_PATTERN.fullmatch(pattern)
    if day is not None:
        _open_archived(desk, run_id, day.isoformat(), "*")
    elif archive is not None:
        _open_archived(desk, run_id, archive["day"], archive["name"])
    else:
        _claim_inbox(desk, run_id, pattern)
    _judge_claimed(desk, run_id)
    admitted = [
        units.Piece(ingestion=document["_id"], size_bytes=document["size_bytes"])
        for document in desk.ledger.of_run(desk.dag_id, run_id)
        if document["state"] in (State.ADMITTED, State.LOADING)
    ]
    return units.plan(admitted, desk.agreement.service_agreement.max_concurrent_ingestions)


def _adopt(desk: Desk, run_id: str, has_ended: Callable[[str], bool]) -> None:
    """Take over what earlier runs of this pipeline left unsettled when they ended."""
    left = desk.ledger.unsettled(desk.tenant.tenant, desk.subdirectory)
    others = {document["run_id"] for document in left} - {run_id}
    ended = {other for other in others if has_ended(other)}
    for document in left:
        if document["run_id"] in ended:
            desk.ledger.note(document["_id"], run_id=run_id)


def _claim_inbox(desk: Desk, run_id: str, pattern: str) -> None:
    """Enter each file in the ledger, then move it: the next attempt sees a crash in between."""
    entered = {
        file_name(document): document["_id"]
        for document in desk.ledger.of_run(desk.dag_id, run_id)
        if document["state"] == State.CLAIMED and not document["reingested"]
    }
    for name, ingestion in entered.items():
        if not desk.area.claim(name, ingestion):
            desk.ledger.forget(ingestion)
    for name in desk.area.ready(pattern)[:MAX_FILES_A_RUN]:
        document = _new_document(desk, run_id, name)
        desk.ledger.open(document)
        if not desk.area.claim(name, document["_id"]):
            desk.ledger.forget(document["_id"])


def _open_archived(desk: Desk, run_id: str, day_pattern: str, name_pattern: str) -> None:
    """Enter each archived file for ingestion again; it stays where it is."""
    known = {document.get("archived_at") for document in desk.ledger.of_run(desk.dag_id, run_id)}
    for archived in desk.area.archived(day_pattern, name_pattern):
        place = str(archived.path.relative_to(desk.settings.staging))
        if place not in known:
            document = _new_document(desk, run_id, archived.name)
            desk.ledger.open(
                document
                | {
                    "reingested": True,
                    "archived_at": place,
                    "path": str(archived.path.relative_to(desk.settings.state)),
                }
            )


def _new_document(desk: Desk, run_id: str, name: str) -> dict[str, Any]:
    now = ledger.now()
    # A name need not be text on Linux; MongoDB and people want text.
    shown = os.fsencode(name).decode(errors="backslashreplace")
    exact = {} if shown == name else {"name_bytes": os.fsencode(name)}
    return exact | {
        "_id": ledger.new_ingestion_id(now),
        "tenant": desk.tenant.tenant,
        "pipeline": desk.subdirectory,
        "dag_id": desk.dag_id,
        "run_id": run_id,
        "name": shown,
        "path": desk.shown_path(shown),
        "size_bytes": 0,
        "state": State.CLAIMED,
        "claimed_at": now,
        "attempt": 0,
        "reingested": False,
        "violations": [],
    }


@attrs.frozen(kw_only=True)
class _Room:
    """What the tenant has in use while its files are judged one after the other."""

    used_bytes: int
    running: int

    def after_refusal(self, size_bytes: int) -> _Room:
        """Take a refused file out: it makes room for the next."""
        return attrs.evolve(self, used_bytes=self.used_bytes - size_bytes)

    def after_admission(self) -> _Room:
        """Count an admitted file as running."""
        return attrs.evolve(self, running=self.running + 1)


def _judge_claimed(desk: Desk, run_id: str) -> None:
    """Judge file by file: what is refused takes no room any more when the next is judged."""
    room = _Room(
        used_bytes=area.used_bytes(desk.settings.staging, desk.tenant.tenant),
        running=desk.ledger.count_running(desk.tenant.tenant),
    )
    for document in desk.ledger.of_run(desk.dag_id, run_id):
        if document["state"] == State.CLAIMED:
            room = _judge_one(desk, document, room)


def _judge_one(desk: Desk, document: dict[str, Any], room: _Room) -> _Room:
    path = desk.file_of(document)
    status = path.lstat()
    candidate = inspect.inspect(
        path,
        inspect.Surroundings(
            tenant=desk.tenant.tenant,
            shown_path=document["path"],
            staging_used_bytes=0 if document["reingested"] else room.used_bytes,
            running=room.running,
        ),
    )
    facts = {
        "size_bytes": status.st_size,
        "landed_at": datetime.fromtimestamp(status.st_mtime, UTC),
        "format": candidate.format_by_name,
    }
    violations = _judge(desk, candidate)
    if not violations:
        facts["sha256"] = _digest(desk, document)
        if not document["reingested"]:
            violations = _judge_content(desk, document | facts, candidate)
    if not violations:
        desk.ledger.advance(document["_id"], [State.CLAIMED], State.ADMITTED, **facts)
        return room.after_admission()
    described = [attrs.asdict(violation) for violation in violations]
    desk.ledger.advance(
        document["_id"], [State.CLAIMED], State.REFUSED, violations=described, **facts
    )
    return room.after_refusal(status.st_size)


def _judge(desk: Desk, candidate: admission.Candidate) -> tuple[admission.Violation, ...]:
    formats = desk.pipeline.accepted_formats(desk.agreement)
    return admission.judge(candidate, desk.agreement, formats)


def _judge_content(
    desk: Desk, document: dict[str, Any], candidate: admission.Candidate
) -> tuple[admission.Violation, ...]:
    """Refuse a file whose very content was loaded before or is being loaded."""
    duplicate = desk.ledger.take(document)
    if duplicate is None:
        return ()
    state = "loaded" if duplicate.is_loaded else "being loaded"
    described = f"{duplicate.name}, {state} as ingestion {duplicate.ingestion}"
    return _judge(desk, attrs.evolve(candidate, duplicate_of=described))


def _digest(desk: Desk, document: dict[str, Any]) -> str:
    path = desk.file_of(document)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.StagingError(
            f"{document['path']} cannot be read: {error.strerror}.", path=str(path)
        ) from error
