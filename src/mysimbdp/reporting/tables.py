"""Reports and statistics as tables for a terminal, or as wide lines for a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mysimbdp.reporting import journal, report, statistics

#: Piped output is as wide as it needs to be: one line a file, nothing cut off.
_PIPED_WIDTH = 100_000
#: A narrower terminal gets the reasons below the table.
_ROOMY_WIDTH = 130
_COLOURS = {
    report.State.LOADED: "green",
    report.State.REJECTED: "yellow",
    report.State.FAILED: "red",
}


def open_console() -> Console:
    """Open standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_WIDTH)


def print_ingestions(found: Sequence[report.IngestionReport], console: Console) -> None:
    """Print one row a file, and every reason in full."""
    if not found:
        console.print("No ingestions.")
        return
    is_roomy = console.width >= _ROOMY_WIDTH
    console.print(_ingestions_table(found, with_reasons=is_roomy))
    if is_roomy:
        return
    for ingestion in found:
        for reason in ingestion.reasons:
            console.print(Text(journal.one_line(f"{ingestion.name}: {reason}")))


def print_statistics(
    each: Sequence[statistics.Statistics], together: statistics.Statistics, console: Console
) -> None:
    """Print how many files of each tenant were loaded, and their volume, speed and duration."""
    console.print(_outcome_table(each))
    console.print(_volume_table((*each, together)))


def _ingestions_table(found: Sequence[report.IngestionReport], *, with_reasons: bool) -> Table:
    table = _table(None, "landed", "tenant", "pipeline")
    table.add_column("file", overflow="fold")
    table.add_column("state", no_wrap=True)
    for name in ("rows", "rejects", "MB/s"):
        table.add_column(name, no_wrap=True, justify="right")
    if with_reasons:
        table.add_column("reason", overflow="fold")
    for ingestion in found:
        table.add_row(*_cells(ingestion)[: len(table.columns)])
    return table


def _cells(ingestion: report.IngestionReport) -> tuple[Text, ...]:
    landed = ingestion.landed_at
    return (
        Text("" if landed is None else f"{landed.astimezone():%m-%d %H:%M}"),
        Text(ingestion.tenant),
        Text(ingestion.pipeline),
        Text(journal.one_line(ingestion.name)),
        Text(ingestion.state, style=_COLOURS.get(ingestion.state, "blue")),
        Text(_count(ingestion.rows_stored)),
        Text(_count(ingestion.rows_rejected)),
        Text(_decimal(ingestion.megabytes_per_second)),
        Text(journal.one_line(" ".join(ingestion.reasons))),
    )


def _outcome_table(each: Sequence[statistics.Statistics]) -> Table:
    table = _table("Success", "tenant")
    for name in ("False", "True", "rejected", "failed"):
        table.add_column(name, justify="right")
    for line in each:
        counts = (line.failures, line.successes, line.rejected, line.failed)
        table.add_row(line.tenant, *map(_count, counts))
    return table


def _volume_table(lines: Sequence[statistics.Statistics]) -> Table:
    table = _table("Loaded files (1 MB = 2**20 bytes)", "\ntenant")
    for name in (
        "rows\nstored", "rows\nrejected", "\nMB",
        "average\nMB/s", "highest\nMB/s", "average\nseconds", "longest\nseconds",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(*_volume_cells(line))
    return table


def _volume_cells(line: statistics.Statistics) -> tuple[str, ...]:
    return (
        line.tenant or "(all)",
        _count(line.rows_stored),
        _count(line.rows_rejected),
        _decimal(line.loaded_bytes / report.MEGABYTE),
        _decimal(line.average_megabytes_per_second),
        _decimal(line.maximum_megabytes_per_second),
        _decimal(line.average_duration_seconds),
        _decimal(line.maximum_duration_seconds),
    )


def _table(title: str | None, *names: str) -> Table:
    """Start a table with columns of text that stay on one line, as narrow as can be."""
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for name in names:
        table.add_column(name, no_wrap=True)
    return table


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _decimal(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"
