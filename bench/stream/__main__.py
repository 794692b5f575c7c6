"""Measure every way, in turns, print the tables and keep the figures: `python -m bench.stream`."""

from __future__ import annotations

import functools
import json
import signal
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import table
from bench.stream import burst, connect_jars, delay, messages, plan, report, ways
from bench.stream.place import Place, opened
from bench.stream.plan import Plan
from bench.stream.report import Findings
from mysimbdp.reporting import tables

RESULTS = Path(__file__).parents[1] / "results"
_TOLD_TO_END = 128 + signal.SIGTERM


def main(
    runs: Annotated[int | None, typer.Option(min=1, help="Runs of each way.")] = None,
    count: Annotated[
        int | None, typer.Option("--messages", min=1_000, help="Messages of 226 bytes.")
    ] = None,
    *,
    quick: Annotated[bool, typer.Option(help="Few messages, one run: for a trial.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--way", help=f"Measure this way only: {', '.join(ways.KEYS)}."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where the figures are kept.")] = RESULTS,
) -> None:
    """Bring the same messages from one Kafka into one MongoDB in every way, and compare."""
    # Whatever was started ends also when this is told to end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TOLD_TO_END))
    console = tables.open_console()
    warning = table.busy()
    wished = _wish(runs, count, only, quick=quick)
    findings = Findings()
    with (
        tempfile.TemporaryDirectory(prefix="mysimbdp-bench-") as folder,
        _progress(console, len(wished.jobs())) as progress,
    ):
        _show(progress, "starting Kafka and MongoDB")
        connect_jars.fetch()
        with opened(Path(folder), wished.jobs()) as place:
            versions = place.versions
            _measure(place, wished, findings, progress)
    measured_at = datetime.now(UTC)
    facts = report.facts_of(versions, measured_at, warning)
    _print(console, findings, wished, facts)
    name = f"stream-{measured_at:%Y-%m-%d}{'-quick' if quick else ''}"
    _keep(console, results / name, findings, wished, facts)


def _wish(runs: int | None, count: int | None, only: list[str] | None, *, quick: bool) -> Plan:
    chosen = plan.QUICK if quick else plan.DEFAULT
    if unknown := set(only or ()) - set(ways.KEYS):
        raise typer.BadParameter(f"no such way: {', '.join(sorted(unknown))}")
    return attrs.evolve(
        chosen,
        runs=runs or chosen.runs,
        messages=count or chosen.messages,
        chosen=tuple(way for way in ways.ALL if not only or way.key in only),
    )


def _measure(place: Place, wished: Plan, findings: Findings, progress: Progress) -> None:
    for topic, count in wished.filled().items():
        _show(progress, f"filling a topic with {count:,} messages")
        messages.fill(place.login, place.topic(topic), count)
    take_burst = functools.partial(burst.measure, place=place)
    take_delays = functools.partial(delay.measure, place=place, plan=wished)
    for what, turns, found, take in (
        ("throughput", wished.bursts(), findings.bursts, take_burst),
        ("latency", wished.paced(), findings.delays, take_delays),
    ):
        for run, turn in enumerate(turns, start=1):
            for way, job in turn:
                name = f"{way.name}, {what}"
                _show(progress, f"{name}, run {run} of {wished.runs}")
                findings.add(found, way.key, name, functools.partial(take, way=way, job=job))
                progress.advance(progress.task_ids[0])


def _print(console: Console, findings: Findings, wished: Plan, facts: Mapping[str, Any]) -> None:
    throughput, latency = report.titles(wished)
    rows = report.throughput_rows(findings, wished)
    console.print(report.table(throughput, report.THROUGHPUT_HEADINGS, rows))
    rows = report.latency_rows(findings, wished)
    console.print(report.table(latency, report.latency_headings(wished), rows))
    for name, reason in findings.problems.items():
        console.print(f"{name}: not measured: {reason}", style="yellow", markup=False)
    if facts["warning"]:
        console.print(facts["warning"], style="yellow")
    for line in (*report.NOTES, report.describe(facts)):
        console.print(line, style="dim", markup=False, highlight=False)


def _keep(
    console: Console, path: Path, findings: Findings, wished: Plan, facts: Mapping[str, Any]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data, page = path.with_suffix(".json"), path.with_suffix(".md")
    data.write_text(json.dumps(report.as_data(findings, wished, facts), indent=2) + "\n")
    page.write_text(report.as_page(findings, wished, facts))
    console.print(f"Kept in {data} and {page.name}.", style="dim", markup=False, highlight=False)


def _progress(console: Console, total: int) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True)
    progress.add_task("", total=total)
    return progress


def _show(progress: Progress, text: str) -> None:
    progress.update(progress.task_ids[0], description=text)
    if not progress.console.is_terminal:
        progress.console.print(text, style="dim")


if __name__ == "__main__":
    typer.run(main)
