"""The two pictures of a report: throughput against the number of concurrent ingestions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mysimbdp.reporting import concurrency

PER_INGESTOR_FILE = "throughput_vs_concurrent_ingestions.png"
TOTAL_FILE = "total_throughput_vs_concurrent_ingestions.png"

_SIZE_INCHES = (8.0, 5.0)
_DOTS_PER_INCH = 150
#: Tenants stand beside each other within this width around their number of ingestions.
_GROUP_WIDTH = 0.6
#: Distinguishable also without full colour vision.
_COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#8C6D31",
)  # fmt: skip
_OTHERS_COLOUR = "#8A8A8A"


def write(folder: Path, ran: Sequence[concurrency.Interval]) -> tuple[Path, Path]:
    """Draw both pictures of at least one ingestion into `folder`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / PER_INGESTOR_FILE, folder / TOTAL_FILE
    _per_ingestor(concurrency.per_ingestor(ran)).savefig(paths[0], dpi=_DOTS_PER_INCH)
    _total(concurrency.total(ran)).savefig(paths[1], dpi=_DOTS_PER_INCH)
    return paths


def _per_ingestor(observations: Sequence[concurrency.Observation]) -> Figure:
    figure, axes = _blank("Throughput per ingestor", "MB/s of one ingestion")
    series = _by_tenant(observations)
    step = _GROUP_WIDTH / max(len(series), 1)
    for index, (label, own) in enumerate(series):
        colour = _COLOURS[index] if index < len(_COLOURS) else _OTHERS_COLOUR
        offset = (index - (len(series) - 1) / 2) * step
        found = concurrency.levels(own, by_time=False)
        _draw(axes, own, found, offset=offset, colour=colour, label=f"{label} (n = {len(own)})")
    _finish(axes, observations, "median and quartiles of n ingestions")
    return figure


def _by_tenant(
    observations: Sequence[concurrency.Observation],
) -> list[tuple[str, list[concurrency.Observation]]]:
    """Give the tenants with the most ingestions a series each, all others one together."""
    counts = Counter(str(observation.tenant) for observation in observations)
    shown = [tenant for tenant, _ in counts.most_common(len(_COLOURS))]
    series: dict[str, list[concurrency.Observation]] = {tenant: [] for tenant in sorted(shown)}
    others = f"{len(counts) - len(shown)} other tenants"
    for observation in observations:
        tenant = str(observation.tenant)
        series.setdefault(tenant if tenant in series else others, []).append(observation)
    return list(series.items())


def _total(observations: Sequence[concurrency.Observation]) -> Figure:
    figure, axes = _blank("Total throughput", "MB/s of all ingestions together")
    found = concurrency.levels(observations, by_time=True)
    label = f"all together (n = {len(observations)})"
    _draw(axes, observations, found, offset=0.0, colour=_COLOURS[0], label=label)
    _finish(
        axes,
        observations,
        "median and quartiles, weighted by time,\nof n spans without a start or an end",
    )
    return figure


def _blank(title: str, quantity: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(f"{title} against concurrent ingestions", fontweight="bold")
    axes.set_xlabel("concurrent ingestions")
    axes.set_ylabel(f"{quantity} (1 MB = 2$^{{20}}$ bytes)")
    return figure, axes


def _draw(
    axes: Any,
    observations: Sequence[concurrency.Observation],
    found: Sequence[concurrency.Level],
    *,
    offset: float,
    colour: str,
    label: str,
) -> None:
    axes.scatter(
        [observation.concurrent + offset for observation in observations],
        [observation.megabytes_per_second for observation in observations],
        s=10, color=colour, alpha=0.2, linewidths=0,
    )  # fmt: skip
    medians = [level.median for level in found]
    below = [level.median - level.lower_quartile for level in found]
    above = [level.upper_quartile - level.median for level in found]
    axes.errorbar(
        [level.concurrent + offset for level in found], medians, yerr=[below, above],
        color=colour, marker="o", markersize=5, linewidth=1.4, capsize=3, label=label,
    )  # fmt: skip


def _finish(axes: Any, observations: Sequence[concurrency.Observation], legend: str) -> None:
    most = max((observation.concurrent for observation in observations), default=1)
    axes.set_xlim(0.5, most + 0.5)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=16, integer=True, min_n_ticks=1))
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if observations:
        axes.legend(title=legend, frameon=False)
