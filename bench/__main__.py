"""Measure every way, in turns, and print the table: `python -m bench`."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import attrs
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import job as jobs
from bench import ours, peers, server, table
from bench.job import Job, NotMeasuredError, WrongResultError
from bench.measure import Measurement, measure
from mysimbdp.reporting import tables
from mysimbdp.samples import taxi

Way = Callable[[Job], Callable[[], None]]

WAYS: Mapping[str, Way] = {
    table.BASELINE: peers.dask_mongo,
    "pandas + insert_many": peers.pandas_insert_many,
    "csv + insert_many": peers.csv_insert_many,
    "pyarrow + pymongoarrow": peers.pymongoarrow,
    "ours, callable alone": ours.callable_alone,
    table.CEILING: peers.raw_ceiling,
}
THROUGH_AIRFLOW = "ours, through Airflow"
WARM_UP_ROWS = 100
WARM_UP_SEED = 10_000
TIMED = (
    "Time runs from the file on disk to the last acknowledged write, with the libraries loaded; "
    "what a way starts by itself (dask's processes, our sandboxed child) counts. "
    "After each run the count and three documents are compared with the file."
)
TIMED_THROUGH_AIRFLOW = (
    "Through Airflow: from the file's landing in the inbox until it is settled, measured last, "
    "because the stack takes part of the processor from the others."
)


@attrs.define
class Findings:
    """What was measured of each way, and why some were not."""

    measured: dict[str, list[Measurement]] = attrs.Factory(lambda: defaultdict(list))
    problems: dict[str, str] = attrs.Factory(dict)

    def add(self, name: str, take: Callable[[], Measurement]) -> None:
        """Measure a way once; after its first failure it is left alone."""
        if name in self.problems:
            return
        try:
            self.measured[name].append(take())
        except (NotMeasuredError, WrongResultError) as error:
            self.problems[name] = str(error)
            self.measured.pop(name, None)


def main(
    rows: Annotated[int, typer.Option(min=1, help="Rows of the file, 142 bytes each.")] = 200_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each way.")] = 3,
    *,
    airflow: Annotated[
        bool, typer.Option(help="Start a whole stack, too, and measure through Airflow.")
    ] = True,
) -> None:
    """Load the same CSV file into one MongoDB in every way, and compare."""
    console = tables.open_console()
    warning = table.busy()
    with tempfile.TemporaryDirectory(prefix="mysimbdp-bench-") as folder:
        path = Path(folder) / "trips.csv"
        taxi.write_taxi(path, rows=rows)
        with server.start(Path(folder) / "state") as coredms:
            job = Job(path=path, rows=rows, url=coredms.url)
            findings = Findings()
            with _progress(console, runs * (len(WAYS) + airflow)) as progress:
                _take_turns(job, runs, findings, progress)
                if airflow:
                    _go_through_airflow(job, runs, findings, progress)
            names = [*WAYS, THROUGH_AIRFLOW] if airflow else list(WAYS)
            console.print(table.results(names, findings.measured, job))
            for name, problem in findings.problems.items():
                console.print(f"{name}: not measured: {problem}", style="yellow", markup=False)
            if warning:
                console.print(warning, style="yellow")
            notes = (TIMED, TIMED_THROUGH_AIRFLOW) if airflow else (TIMED,)
            for line in (*notes, table.machine(coredms.version)):
                console.print(line, style="dim", markup=False, highlight=False)


def _take_turns(job: Job, runs: int, findings: Findings, progress: Progress) -> None:
    """Start each round with another way, so that no place in the order is an advantage."""
    names = list(WAYS)
    for turn in range(runs):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            _show(progress, f"{name}, run {turn + 1} of {runs}")
            findings.add(name, lambda name=name: measure(WAYS[name], job))
            progress.advance(progress.task_ids[0])


def _go_through_airflow(job: Job, runs: int, findings: Findings, progress: Progress) -> None:
    """Give the stack another file in each run: it refuses what it has loaded already."""
    _show(progress, f"{THROUGH_AIRFLOW}, starting the stack")
    ports = {"airflow": server.find_free_port(), "smtp": server.find_free_port()}
    folder = job.path.parent
    try:
        with ours.stack(job.url, folder / "stack", ports) as stack:
            taxi.write_taxi(folder / "first.csv", rows=WARM_UP_ROWS, seed=WARM_UP_SEED)
            stack.warm_up(folder / "first.csv", WARM_UP_ROWS)
            for turn in range(runs):
                _show(progress, f"{THROUGH_AIRFLOW}, run {turn + 1} of {runs}")
                path = folder / f"trips-{turn + 1}.csv"
                taxi.write_taxi(path, rows=job.rows, seed=turn + 1)
                findings.add(
                    THROUGH_AIRFLOW, lambda path=path: _load_and_verify(stack, path, job.rows)
                )
                progress.advance(progress.task_ids[0])
    except NotMeasuredError as error:
        findings.problems[THROUGH_AIRFLOW] = str(error)
        progress.advance(progress.task_ids[0], runs)


def _load_and_verify(stack: ours.Stack, path: Path, rows: int) -> Measurement:
    job, measurement = stack.load(path, rows)
    jobs.verify(job)
    return measurement


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
