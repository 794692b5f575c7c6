"""The table of a benchmark, and the machine it was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from rich import box
from rich.table import Table

from bench.job import Job
from bench.measure import Measurement

MEGABYTE = 1_000_000
BASELINE = "dask + dask-mongo"
CEILING = "raw insert ceiling"
_BUSY_SHARE = 0.5
_PACKAGES = ("pymongo", "pyarrow", "pandas", "dask", "dask-mongo", "pymongoarrow")


def results(names: Sequence[str], measured: Mapping[str, Sequence[Measurement]], job: Job) -> Table:
    """Lay out all ways in their order; one that was not measured has no figures."""
    table = Table(
        title=f"CSV into MongoDB: {job.rows:,} rows, {job.size_bytes / MEGABYTE:.1f} MB",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
    )
    table.add_column("Way", no_wrap=True)
    for heading in ("MB/s", "min-max", "docs/s", "x dask", "ceiling", "RSS"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in names:
        if measured.get(name):
            table.add_row(name, *_figures(name, measured, job))
        else:
            table.add_row(name, "-")
    return table


def machine(mongod_version: str) -> str:
    """Name the machine and the versions that the figures belong to."""
    memory_gb = psutil.virtual_memory().total / 2**30
    versions = (f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.platform()}; "
        f"mongod {mongod_version} on the same machine; Python {platform.python_version()}, "
        + ", ".join(versions)
    )


def busy() -> str | None:
    """Say that the machine has other work, in which case the figures are no good; else None."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < cores * _BUSY_SHARE:
        return None
    return (
        f"The machine was busy before the start (load {load:.1f} on {cores} cores): "
        "take these figures for a trial, and measure again on an idle one."
    )


def _figures(
    name: str, measured: Mapping[str, Sequence[Measurement]], job: Job
) -> tuple[str, str, str, str, str, str]:
    rates = [job.size_bytes / MEGABYTE / one.seconds for one in measured[name]]
    median = statistics.median(rates)
    peaks = [one.peak_rss_bytes for one in measured[name] if one.peak_rss_bytes is not None]
    return (
        f"{median:.1f}",
        f"{min(rates):.1f}-{max(rates):.1f}",
        f"{job.rows / statistics.median(one.seconds for one in measured[name]):,.0f}",
        _ratio(median, measured.get(BASELINE), job, "{:.1f}"),
        _ratio(median, measured.get(CEILING), job, "{:.0%}"),
        f"{max(peaks) / 2**20:,.0f} MiB" if peaks else "-",
    )


def _ratio(median: float, others: Sequence[Measurement] | None, job: Job, form: str) -> str:
    if not others:
        return "-"
    other = statistics.median(job.size_bytes / MEGABYTE / one.seconds for one in others)
    return form.format(median / other)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
