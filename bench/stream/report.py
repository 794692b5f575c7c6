"""The tables of a benchmark, and its figures as data and as a page."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import confluent_kafka
import psutil
from rich import box
from rich.table import Table

from bench.job import NotMeasuredError, WrongResultError
from bench.stream import connect, connect_jars, loops, messages, ways
from bench.stream.burst import Burst, Stretch
from bench.stream.delay import MOST_SAMPLES, Delay
from bench.stream.figures import Spread, spread
from bench.stream.plan import Plan
from mysimbdp.local_stack import kafka_jars

MEGABYTE = 1_000_000
MISSING = "-"
_PACKAGES = ("confluent-kafka", "pymongo", "msgspec", "pyarrow")
_PARTS = ("whole", "late")
_FIGURES = ("rate", "cpu_micros", "server_cpu_micros")
THROUGHPUT_HEADINGS = (
    *("msg/s", "min-max", "MB/s", "x Connect", "2nd half", "x Connect"),
    *("CPU us/msg", "servers", "RSS MiB"),
)
_TIMED = (
    "Throughput: from the first document to the last in the collection, so without start-up; "
    "2nd half: of the messages, when a JVM has warmed up; CPU: processor time a message in the 2nd "
    "half, of the way's own processes, and of mongod and the broker together. RSS: the most that "
    "all processes of the way held, what they share counted in each. After each run there is one "
    "document for each message."
)
_DELAYED = (
    "Latency: from just before the producer's call to the change event of the stored document, "
    f"after a warm-up; at most {MOST_SAMPLES} messages a second are timed."
)
_WAYS = (
    f"All read the same topics with the same login, {messages.SIZE_BYTES} B of JSON a message, "
    f"{messages.PARTITIONS} partitions; MongoDB acknowledges to the majority, with journal. "
    f"Batched loop: consume({loops.MOST_MESSAGES:,}, {loops.WAIT_SECONDS}), json.loads, "
    "insert_many(ordered=False), commit; new ids, so a repeated message is stored twice. "
    f"Kafka Connect: {connect.TASKS} tasks, batches of {connect.BATCH_MESSAGES:,}, unordered, ids "
    "of topic, partition and offset, inserts, so a repeated message stops the task; upserts: it is "
    "stored once. Ours: ids of topic id, partition and offset, the callable in its "
    "sandboxed child."
)
NOTES = (_TIMED, _DELAYED, _WAYS)


@attrs.define
class Findings:
    """What was measured of each way, by its key, and why something was not."""

    bursts: dict[str, list[Burst]] = attrs.field(factory=dict)
    delays: dict[str, list[list[Delay]]] = attrs.field(factory=dict)
    problems: dict[str, str] = attrs.field(factory=dict)

    def add(
        self, found: dict[str, list[Any]], key: str, what: str, take: Callable[[], Any]
    ) -> None:
        """Measure once; what failed is left alone from then on, and has no figures."""
        if what in self.problems:
            return
        try:
            found.setdefault(key, []).append(take())
        except (NotMeasuredError, WrongResultError) as error:
            self.problems[what] = str(error)
            found.pop(key, None)


def throughput_rows(findings: Findings, plan: Plan) -> list[list[str]]:
    """Lay out a row for each way; one that was not measured has no figures."""
    rows = []
    for way in plan.chosen:
        runs = findings.bursts.get(way.key)
        figures = _burst_cells(runs, findings) if runs else [MISSING] * len(THROUGHPUT_HEADINGS)
        rows.append([way.name, *figures])
    return rows


def latency_rows(findings: Findings, plan: Plan) -> list[list[str]]:
    """Lay out a row for each way whose latency is measured: p50 and p99 at each rate."""
    rows = []
    for way in (way for way in plan.chosen if way.is_timed):
        cells = []
        for place in range(len(plan.rates)):
            delays = [run[place] for run in findings.delays.get(way.key, [])]
            cells.append(_range([delay.p50_ms for delay in delays]))
            cells.append(_range([delay.p99_ms for delay in delays]))
        rows.append([way.name, *cells])
    return rows


def latency_headings(plan: Plan) -> list[str]:
    """Name the columns of the latencies."""
    return [f"{name} at {rate:,}/s" for rate in plan.rates for name in ("p50", "p99")]


def table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Make a table for the terminal."""
    made = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1)
    )
    made.add_column("Way", no_wrap=True)
    for heading in headings:
        made.add_column(heading, justify="right")
    for row in rows:
        made.add_row(*row)
    return made


def titles(plan: Plan) -> tuple[str, str]:
    """Title both tables."""
    megabytes = plan.messages * messages.SIZE_BYTES / MEGABYTE
    fewer = "".join(
        f"; {way.name}: {plan.messages // way.share:,}" for way in plan.chosen if way.share > 1
    )
    read = f"Kafka into MongoDB: {plan.messages:,} messages, {megabytes:.0f} MB{fewer}"
    return (
        f"{read}; medians of {plan.runs}",
        f"Produced to readable, ms: medians of {plan.runs} (min-max)",
    )


def as_data(findings: Findings, plan: Plan, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Give every run's figures and what sums them up."""
    baseline = findings.bursts.get(ways.BASELINE.key)
    return {
        **facts,
        "plan": _plan_data(plan),
        "throughput": {
            way.name: _burst_data(findings.bursts[way.key], baseline)
            for way in ways.ALL
            if way.key in findings.bursts
        },
        "latency": {
            way.name: [[attrs.asdict(delay) for delay in run] for run in findings.delays[way.key]]
            for way in ways.ALL
            if way.key in findings.delays
        },
        "not_measured": findings.problems,
        "notes": list(NOTES),
    }


def as_page(findings: Findings, plan: Plan, facts: Mapping[str, Any]) -> str:
    """Write a page of Markdown."""
    first, second = titles(plan)
    parts = [
        f"# Streams, measured {facts['measured_at']}",
        *([f"**{facts['warning']}**"] if facts["warning"] else []),
        f"{first}.",
        _markdown(THROUGHPUT_HEADINGS, throughput_rows(findings, plan)),
        f"{second}.",
        _markdown(latency_headings(plan), latency_rows(findings, plan)),
        *(f"{name}: not measured: {reason}" for name, reason in findings.problems.items()),
        *NOTES,
        describe(facts),
    ]
    return "\n\n".join(parts) + "\n"


def facts_of(versions: Mapping[str, str], measured_at: datetime, warning: str | None) -> dict:
    """Name the moment, the machine and the versions that the figures belong to."""
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "measured_at": measured_at.isoformat(timespec="seconds"),
        "warning": warning,
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30),
            "system": platform.platform(),
        },
        "versions": {
            **versions,
            "kafka": kafka_jars.VERSION,
            "mongo-kafka-connect": connect_jars.SINK_VERSION,
            "python": platform.python_version(),
            "librdkafka": confluent_kafka.libversion()[0],
            **packages,
        },
    }


def describe(facts: Mapping[str, Any]) -> str:
    """Write machine and versions in a line."""
    machine = facts["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"{machine['system']}; everything on this machine: {versions}"
    )


def _burst_cells(runs: Sequence[Burst], findings: Findings) -> list[str]:
    whole, late = (_summed([getattr(run, part) for run in runs]) for part in _PARTS)
    rate, late_rate = whole["rate"], late["rate"]
    ratio, late_ratio = _ratios(runs, findings.bursts.get(ways.BASELINE.key))
    return [
        f"{rate.median:,.0f}",
        f"{rate.least:,.0f}-{rate.most:,.0f}",
        f"{rate.median * messages.SIZE_BYTES / MEGABYTE:.1f}",
        MISSING if ratio is None else f"{ratio:.2f}",
        f"{late_rate.median:,.0f}",
        MISSING if late_ratio is None else f"{late_ratio:.2f}",
        f"{late['cpu_micros'].median:.1f}",
        f"{late['server_cpu_micros'].median:.1f}",
        f"{max(run.peak_rss_bytes for run in runs) / 2**20:,.0f}",
    ]


def _burst_data(runs: Sequence[Burst], baseline: Sequence[Burst] | None) -> dict[str, Any]:
    parts = {part: _summed([getattr(run, part) for run in runs]) for part in _PARTS}
    ratio, late_ratio = _ratios(runs, baseline)
    return {
        **{
            part: {name: attrs.asdict(figure) for name, figure in figures.items()}
            for part, figures in parts.items()
        },
        "megabytes_per_second": parts["whole"]["rate"].median * messages.SIZE_BYTES / MEGABYTE,
        "ratio_to_connect": ratio,
        "late_ratio_to_connect": late_ratio,
        "peak_rss_bytes": max(run.peak_rss_bytes for run in runs),
        "runs": [attrs.asdict(run) for run in runs],
    }


def _summed(stretches: Sequence[Stretch]) -> dict[str, Spread]:
    return {name: spread([getattr(one, name) for one in stretches]) for name in _FIGURES}


def _ratios(runs: Sequence[Burst], baseline: Sequence[Burst] | None) -> list[float | None]:
    """Compare the rates of whole runs, and of second halves, with the baseline's."""
    if not baseline:
        return [None, None]
    return [
        _summed([getattr(run, part) for run in runs])["rate"].median
        / _summed([getattr(run, part) for run in baseline])["rate"].median
        for part in _PARTS
    ]


def _plan_data(plan: Plan) -> dict[str, Any]:
    figures = attrs.asdict(plan, filter=lambda field, _: field.name != "chosen")
    sizes = {"message_bytes": messages.SIZE_BYTES, "partitions": messages.PARTITIONS}
    return {**figures, **sizes}


def _range(values: Sequence[float]) -> str:
    if not values:
        return MISSING
    seen = spread(values)
    return f"{seen.median:,.0f} ({seen.least:,.0f}-{seen.most:,.0f})"


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [["Way", *headings], ["---", *["---:"] * len(headings)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
