"""Run one way once, in a process of its own: its time, its memory, and whether it was right."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import attrs
import psutil

from bench import job as jobs
from bench.job import Job, NotMeasuredError

_SAMPLE_SECONDS = 0.05


@attrs.frozen(kw_only=True)
class Measurement:
    """How long a file took, and what memory the processes held together at the most.

    The memory is None where other work shares the processes.
    """

    seconds: float
    peak_rss_bytes: int | None


def measure(prepare: Callable[[Job], Callable[[], None]], job: Job) -> Measurement:
    """Run a way on an empty collection and check what it stored.

    Raises:
        NotMeasuredError: it could not run.
        WrongResultError: it stored something else than the file holds.

    """
    jobs.drop(job)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(prepare, job, theirs))
    process.start()
    theirs.close()
    try:
        peak = _watch(process.pid or 0, ours)
        outcome = ours.recv()
    except EOFError:
        process.join()
        raise NotMeasuredError(f"it ended with exit code {process.exitcode}") from None
    process.join()
    if isinstance(outcome, str):
        raise NotMeasuredError(outcome)
    jobs.verify(job)
    return Measurement(seconds=outcome, peak_rss_bytes=peak)


def _run(prepare: Callable[[Job], Callable[[], None]], job: Job, result: Connection) -> None:
    try:
        work = prepare(job)
        start = time.perf_counter()
        work()
        result.send(time.perf_counter() - start)
    except Exception as error:  # noqa: BLE001 - whatever stops a way is told in the table
        result.send(f"{type(error).__name__}: {error}".splitlines()[0])


def _watch(pid: int, result: Connection) -> int:
    """Add up the memory of the process and all that it started, until it has a result."""
    peak = 0
    root = psutil.Process(pid)
    while not result.poll(_SAMPLE_SECONDS):
        peak = max(peak, _tree_rss_bytes(root))
    return peak


def _tree_rss_bytes(root: psutil.Process) -> int:
    total = 0
    try:
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # one ended between the listing and the look
    return total
