"""`mysimbdp ingestions` and `mysimbdp report`: what became of the files, each and in sum."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from mysimbdp import coredms, errors, settings
from mysimbdp.reporting import journal, report, statistics, store, tables
from mysimbdp.secrets import SecretStore

REPORT_FILE = "report.json"

TenantOption = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")]


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command()(ingestions)
    app.command(name="report")(write_report)


def ingestions(
    tenant: TenantOption = None,
    state: Annotated[
        report.State | None, typer.Option("--state", help="Only those in this state.")
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="Only this many of the newest.")
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything recorded, as a JSON list.")
    ] = False,
) -> None:
    """List the ingestions, newest last: file, state, rows, speed, and why not.

    MB are 2**20 bytes.
    """
    with _reports() as reports:
        documents = reports.documents(tenant, state, last)
    if as_json:
        typer.echo(json.dumps(documents, indent=2, default=_plain))
        return
    found = [report.from_document(document) for document in documents]
    tables.print_ingestions(found, tables.open_console())


def write_report(
    tenant: TenantOption = None,
    out: Annotated[
        Path, typer.Option("--out", help="The folder for the plots and report.json.")
    ] = Path("report"),
) -> None:
    """Print the statistics of all settled files, and draw throughput against concurrency.

    MB are 2**20 bytes. With --tenant, only that tenant's ingestions count as concurrent.
    """
    with _reports() as reports:
        found = reports.find(tenant)
    each = statistics.per_tenant(found)
    if not each:
        whose = "" if tenant is None else f" of {tenant}"
        raise errors.UsageError(
            f"There is nothing to report yet: no ingestion{whose} is settled. "
            "Stage a file first (mysimbdp stage)."
        )
    together = statistics.of_all(found)
    tables.print_statistics(each, together, tables.open_console())
    try:
        written = _write_files(found, each, together, out)
    except OSError as error:
        raise errors.UsageError(f"Nothing can be written to {out}: {error.strerror}.") from error
    if len(written) == 1:
        typer.echo("No plots: none of these files has run through its pipeline yet.")
    for path in written:
        typer.echo(f"Written: {path}")


def _write_files(
    found: Sequence[report.IngestionReport],
    each: Sequence[statistics.Statistics],
    together: statistics.Statistics,
    out: Path,
) -> list[Path]:
    # These two bring numpy and matplotlib, which no other command should wait for.
    from mysimbdp.reporting import concurrency, plots  # noqa: PLC0415

    ran = concurrency.intervals(found)
    written = list(plots.write(out, ran)) if ran else []
    levels = {
        "per_ingestor": concurrency.levels(concurrency.per_ingestor(ran), by_time=False),
        "total": concurrency.levels(concurrency.total(ran), by_time=True),
    }
    content = {
        "written_at": datetime.now(UTC),
        "megabyte_bytes": report.MEGABYTE,
        "tenants": each,
        "all": together,
        "megabytes_per_second_by_concurrent_ingestions": levels,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / REPORT_FILE
    path.write_text(json.dumps(content, indent=2, default=_plain) + "\n")
    return [*written, path]


@contextlib.contextmanager
def _reports() -> Iterator[store.ReportStore]:
    places = settings.from_environment()
    with store.opened(coredms.coredms_url(places, SecretStore(places.secrets))) as reports:
        yield reports


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return journal.timestamp(value)
    if attrs.has(type(value)):
        return attrs.asdict(value)
    return str(value)
