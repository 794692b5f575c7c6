"""Bring one admitted file into the tenant's database, through the tenant's own code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from mysimbdp import errors, ledger
from mysimbdp.batch.desk import Desk
from mysimbdp.pipelines import protocol, runner, verdict
from mysimbdp.pipelines.causes import Cause
from mysimbdp.reporting.report import State
from mysimbdp.sinks.mongo import MongoSink


def ingest(desk: Desk, ingestion: str) -> None:
    """Run the ingestion until every row is stored or rejected, or its failure is on record.

    A failure that a retry does not cure is noted in the ledger and not raised: the other files of
    the work unit go on, and settling reports it. Done already, it does nothing.

    Raises:
        TransientError: a server or the child's life was interrupted; call it again.

    """
    document = desk.ledger.begin(ingestion)
    if document is None:
        return
    try:
        facts = _run_script(desk, document) if desk.pipeline.script else _run(desk, document)
    except errors.IngestionFailedError as error:
        desk.ledger.finish(
            ingestion,
            document["attempt"],
            State.BROKEN,
            ended_at=ledger.now(),
            cause=error.facts["cause"],
            error=str(error),
            **error.facts.get("counts", {}),
        )
        return
    done = desk.ledger.finish(
        ingestion, document["attempt"], State.STORED, ended_at=ledger.now(), **facts
    )
    if done is None and desk.ledger.read(ingestion)["state"] == State.LOADING:
        raise errors.LedgerConflictError(
            f"Another copy of this task is ingesting {document['name']} of {desk.dag_id}; "
            "this one stops.",
        )


#: So many reasons are enough to mend a file; one that is all wrong must not fill the reject store.
ENOUGH_REJECTS = 100_000
#: A row takes a value and a separator.
_LEAST_ROW_BYTES = 2


class _Tally:
    """Write what the child sends, and count it.

    Raises:
        IngestionFailedError: more rows are rejected than any number of good ones could make up for.

    """

    def __init__(self, sink: MongoSink, most_rejects: float) -> None:
        self._sink = sink
        self._most_rejects = most_rejects
        self.stored = 0
        self.replayed = 0
        self.rejected = 0

    def documents(self, rows: np.ndarray[Any, Any], documents: pa.LargeBinaryArray) -> None:
        """Store a block; rows that the database refuses are rejected."""
        written = self._sink.write(rows, documents)
        self.stored += written.stored
        self.replayed += written.replayed
        self.rejects(list(written.refused))

    def rejects(self, rejected: list[protocol.RejectedRow]) -> None:
        """Keep rejected rows with their reasons."""
        self._sink.reject(rejected)
        self.rejected += len(rejected)
        if self.rejected > self._most_rejects:
            raise verdict.failed(
                Cause.TOO_MANY_REJECTS,
                f"{self.rejected} rows were rejected, and the rest of the file was not read: the "
                "registered tolerance is exceeded whatever it holds. The reasons are in the "
                "collection rejects.",
            )

    def facts(self, rows_read: int) -> dict[str, int]:
        """Return the counts as the report has them."""
        return {
            "rows_read": rows_read,
            "rows_stored": self.stored + self.replayed,
            "rows_replayed": self.replayed,
            "rows_rejected": self.rejected,
        }


def _run(desk: Desk, document: dict[str, Any]) -> dict[str, Any]:
    sink = desk.sink_for(document)
    most_rows = document["size_bytes"] / _LEAST_ROW_BYTES
    tally = _Tally(sink, max(ENOUGH_REJECTS, desk.pipeline.max_reject_ratio * most_rows))
    listener = runner.Listener(
        documents=tally.documents, rejects=tally.rejects, log=_log_for(desk, document)
    )
    completed = runner.run(_job(desk, document), listener)
    if completed.end is None:
        raise verdict.failed(Cause.BAD_OUTPUT, "The child sent no closing message.")
    sink.tidy()
    counts = tally.facts(completed.end.rows_read)
    _reconcile(sink, counts)
    _check_tolerance(desk, counts)
    return counts | {"peak_memory_bytes": completed.peak_memory_bytes}


def _run_script(desk: Desk, document: dict[str, Any]) -> dict[str, Any]:
    """Run a black box: it writes by itself, so its rows are its own word and are not counted."""
    listener = runner.Listener(
        documents=lambda _rows, _documents: None,
        rejects=lambda _rejected: None,
        log=_log_for(desk, document),
    )
    completed = runner.run(_job(desk, document), listener)
    return {"peak_memory_bytes": completed.peak_memory_bytes}


def _job(desk: Desk, document: dict[str, Any]) -> runner.Job:
    pipeline, throughput = desk.pipeline, desk.throughput
    timeout = pipeline.resources.timeout
    limits = verdict.Limits(
        memory_bytes=pipeline.memory_bytes(desk.agreement),
        timeout_seconds=None if timeout is None else timeout.seconds,
    )
    return runner.Job(
        request=protocol.Request(
            folder=str(desk.settings.tenant_pipelines / desk.tenant.tenant),
            entry=pipeline.script or pipeline.callable or "",
            is_script=pipeline.script is not None,
            file_format=document["format"],
            batch=pipeline.batch,
            columns=dict(pipeline.columns),
            missing=tuple(pipeline.missing),
            xml_row=pipeline.xml_row,
            memory_bytes=limits.memory_bytes,
            parent=0,
        ),
        path=desk.file_of(document),
        environment={"MONGO_URL": desk.mongo_url} if pipeline.script else {},
        limits=limits,
        bytes_per_second=throughput.bytes_per_second,
        pace=throughput.wait_seconds,
    )


def _log_for(desk: Desk, document: dict[str, Any]) -> Any:
    def log(line: str) -> None:
        desk.log.write("INFO", desk.subdirectory, document["_id"], f"| {line}")

    return log


def _reconcile(sink: MongoSink, counts: dict[str, int]) -> None:
    """Compare what was counted with what the database holds; a difference fails the ingestion."""
    stored, rejected = sink.count()
    is_whole = counts["rows_read"] == stored + rejected
    is_told = (stored, rejected) == (counts["rows_stored"], counts["rows_rejected"])
    if not is_whole or not is_told:
        raise errors.IngestionFailedError(
            f"{counts['rows_read']} rows were read, but {stored} are stored and {rejected} "
            f"rejected in the database ({counts['rows_stored']} and {counts['rows_rejected']} "
            "were counted).",
            cause=Cause.COUNTS_DIFFER,
            counts=counts,
        )


def _check_tolerance(desk: Desk, counts: dict[str, int]) -> None:
    if counts["rows_rejected"] > desk.pipeline.max_reject_ratio * counts["rows_read"]:
        raise errors.IngestionFailedError(
            f"{counts['rows_rejected']} of {counts['rows_read']} rows were rejected; registered "
            f"as tolerable: {desk.pipeline.max_reject_ratio:.2%}. The reasons are in the "
            "collection rejects.",
            cause=Cause.TOO_MANY_REJECTS,
            counts=counts,
        )
