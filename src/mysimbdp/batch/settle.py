"""Bring every ingestion of a run to its end: archive it, report it, tell the tenant."""

from __future__ import annotations

from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import attrs

from mysimbdp import ledger
from mysimbdp.batch.desk import Desk
from mysimbdp.ledger import TERMINAL
from mysimbdp.pipelines.causes import Cause
from mysimbdp.reporting import email, report, tenant_log
from mysimbdp.reporting.report import State


@attrs.frozen(kw_only=True)
class Settlement:
    """The ingestions of a run by how they ended."""

    loaded: tuple[str, ...]
    rejected: tuple[str, ...]
    failed: tuple[str, ...]


def settle(desk: Desk, run_id: str) -> Settlement:
    """Settle a run; called again, it goes on where the earlier attempt stopped.

    Raises:
        TransientError: a server does not answer; call it again.

    """
    for document in desk.ledger.of_run(desk.dag_id, run_id):
        if document["state"] not in TERMINAL:
            _settle_one(desk, document)
    documents = desk.ledger.of_run(desk.dag_id, run_id)
    for document in documents:
        if "logged_at" not in document:
            _log(desk, document)
    _mail(desk, documents)
    return Settlement(
        loaded=_ids(documents, State.LOADED),
        rejected=_ids(documents, State.REJECTED),
        failed=_ids(documents, State.FAILED),
    )


def _ids(documents: list[dict[str, Any]], state: State) -> tuple[str, ...]:
    return tuple(document["_id"] for document in documents if document["state"] == state)


def _settle_one(desk: Desk, document: dict[str, Any]) -> None:
    match State(document["state"]):
        case State.STORED:
            _keep(desk, document)
        case State.REFUSED:
            _close(desk, document, State.REJECTED)
        case _:
            _give_up(desk, document)


def _keep(desk: Desk, document: dict[str, Any]) -> None:
    desk.ledger.keep(document)
    if not document["reingested"]:
        desk.area.settle(document["_id"], desk.area.loaded(_day(document)))
    desk.ledger.advance(
        document["_id"], [State.STORED], State.LOADED, duration_seconds=_duration(document)
    )


def _give_up(desk: Desk, document: dict[str, Any]) -> None:
    """Take a failed file's rows back and set it aside; what was loaded earlier stays."""
    facts: dict[str, Any] = {
        "cause": document.get("cause") or Cause.INTERRUPTED,
        "error": document.get("error")
        or "The work was ended before it was done, by a person or after all retries; see the "
        "task's log. Stage the file again.",
        "ended_at": document.get("ended_at") or ledger.now(),
    }
    if not document["reingested"] and document["attempt"]:
        desk.sink_for(document).undo()
        facts |= {"rows_stored": 0, "rows_replayed": 0}
    desk.ledger.release(document)
    _close(desk, document | facts, State.FAILED, **facts)


def _close(desk: Desk, document: dict[str, Any], end: State, **facts: Any) -> None:
    if not document["reingested"]:
        reason = _reason(document, end)
        desk.area.settle(document["_id"], desk.area.rejected(_day(document)), reason)
    desk.ledger.advance(
        document["_id"],
        [State(document["state"])],
        end,
        duration_seconds=_duration(document),
        **{"ended_at": ledger.now()} | facts,
    )


def _reason(document: dict[str, Any], end: State) -> dict[str, Any]:
    """Say beside the file, for programs, why it was not loaded."""
    return {
        "ingestion": document["_id"],
        "tenant": document["tenant"],
        "pipeline": document["pipeline"],
        "file": document["name"],
        "state": end,
        "violations": document["violations"],
        "cause": document.get("cause"),
        "error": document.get("error"),
        "claimed_at": document["claimed_at"].isoformat(),
    }


def _day(document: dict[str, Any]) -> Any:
    return document["claimed_at"].date()


def _duration(document: dict[str, Any]) -> float | None:
    start, end = document.get("started_at"), document.get("ended_at")
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return None
    return (end - start).total_seconds()


def _log(desk: Desk, document: dict[str, Any]) -> None:
    """Write the metrics row and the tenant's line, then note that they are written.

    A crash in between repeats them: a line twice is better than a line missing.
    """
    ingestion = report.from_document(document)
    desk.metrics.append(ingestion)
    level: tenant_log.Level = "INFO" if ingestion.success else "WARNING"
    desk.log.write(level, desk.subdirectory, ingestion.id, _sentence(ingestion))
    desk.ledger.note(ingestion.id, logged_at=ledger.now())


def _sentence(ingestion: report.IngestionReport) -> str:
    if not ingestion.success:
        return f"{ingestion.name} {ingestion.state}: {' '.join(ingestion.reasons)}"
    rows = (
        "by its script"
        if ingestion.rows_stored is None
        else f"{ingestion.rows_stored} rows stored, {ingestion.rows_rejected} rejected"
    )
    speed = ingestion.megabytes_per_second
    return f"{ingestion.name} loaded: {rows}" + (f", {speed:.1f} MB/s" if speed else "")


def _mail(desk: Desk, documents: list[dict[str, Any]]) -> None:
    """Send one mail about all files of the run that were not loaded and not mailed about yet."""
    unsaid = [
        document
        for document in documents
        if document["state"] in (State.REJECTED, State.FAILED) and not document.get("mailed_at")
    ]
    if not unsaid:
        return
    message = email.rejection_mail(
        desk.tenant.tenant,
        desk.agreement.contacts,
        desk.subdirectory,
        [report.from_document(document) for document in unsaid],
        {document["_id"]: _place(desk, document) for document in unsaid},
    )
    facts = {"mailed_at": ledger.now(), **_send(desk, message)}
    for document in unsaid:
        desk.ledger.note(document["_id"], **facts)


def _send(desk: Desk, message: EmailMessage) -> dict[str, str]:
    """Send the mail; a refusal for good is put on record, for nobody could ever send it."""
    try:
        refused = desk.mailer.send(message)
    except email.MailRefusedError as error:
        desk.log.write("ERROR", desk.subdirectory, "-", str(error))
        return {"mail_error": str(error)}
    if refused:
        sentence = f"The mail server refused the contacts {', '.join(refused)}."
        desk.log.write("ERROR", desk.subdirectory, "-", sentence)
        return {"mail_error": sentence}
    return {}


def _place(desk: Desk, document: dict[str, Any]) -> Path:
    folder = (
        desk.file_of(document).parent
        if document["reingested"]
        else desk.area.rejected(_day(document)) / document["_id"]
    )
    return folder.relative_to(desk.settings.state)
