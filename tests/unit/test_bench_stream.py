"""What the stream benchmark makes of its measurements, and what it sends; it is not run here."""

import json
import math

import pytest
from bench.job import NotMeasuredError
from bench.stream import connect_jars, delay, figures, messages, plan, report, ways
from bench.stream.burst import Burst, Stretch
from bench.stream.delay import Delay
from bench.stream.plan import Plan
from bench.stream.report import Findings

from mysimbdp.local_stack import kafka_jars

PLAN = Plan(runs=2, messages=1_000, rates=(100, 1_000), paced_seconds=1.0)
FACTS = {
    "measured_at": "2026-11-23T04:00:00+00:00",
    "warning": None,
    "machine": {"processor": "one", "cores": 2, "memory_gb": 8, "system": "Linux"},
    "versions": {"kafka": "4"},
}


def stretch(count, rate):
    return Stretch(
        messages=count,
        seconds=count / rate,
        cpu_seconds=count * 10e-6,
        server_cpu_seconds={"mongod": count * 3e-6, "kafka": count * 1e-6},
    )


def seen(rate):
    return Burst(
        whole=stretch(1_000, rate), late=stretch(500, 2 * rate), peak_rss_bytes=100 * 2**20
    )


def delays(p50, p99):
    return [
        Delay(rate=rate, sent_rate=rate, samples=10, p50_ms=p50, p99_ms=p99) for rate in PLAN.rates
    ]


def row(rows, way):
    return next(cells for cells in rows if cells[0] == way)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        (range(100, 0, -1), 50, 50),
        (range(1, 101), 99, 99),
        ([7.0], 99, 7.0),
        ([1, 2, 3], 50, 2),
        ([1, 2], 50, 1),
        (range(1, 1001), 99, 990),
    ],
)
def test_a_percentile_is_a_value_that_was_seen(values, percent, expected):
    assert figures.percentile(values, percent) == expected


def test_nothing_has_no_percentile():
    assert math.isnan(figures.percentile([], 50))


@pytest.mark.parametrize("number", [0, 7, 399_999, 10_000_000])
def test_every_message_is_json_of_226_bytes_with_its_number_and_time(number):
    message = messages.make(number, 1_795_407_187_482_497_053, is_sampled=True)

    document = json.loads(message)
    assert len(message) == messages.SIZE_BYTES == 226
    assert document["n"] == number
    assert document["at"] == 1_795_407_187_482_497_053
    assert document["sampled"] is True


@pytest.mark.parametrize("rate", [1, 100, 1_000, 5_000, 20_000])
def test_timed_messages_are_few_and_meet_every_partition(rate):
    stride = delay._stride(rate)

    assert rate / stride <= delay.MOST_SAMPLES
    assert {number * stride % messages.PARTITIONS for number in range(4)} == {0, 1, 2, 3}


def test_every_run_of_a_way_has_its_own_group_and_collection_on_the_same_messages():
    jobs = [job for turn in PLAN.bursts() for way, job in turn if way.key in {"connect", "ours"}]

    assert len({job.name for job in PLAN.jobs()}) == len(PLAN.jobs())
    assert len({job.collection for job in PLAN.jobs()}) == len(PLAN.jobs())
    assert {(job.topic, job.messages) for job in jobs} == {("events-1000", 1_000)}
    assert PLAN.filled() == {"events-1000": 1_000, "events-200": 200, "events-40": 40}


def test_runs_begin_with_different_ways():
    assert len({turn[0][0].key for turn in plan.DEFAULT.bursts()}) == plan.DEFAULT.runs


def test_the_table_shows_medians_spread_and_the_ratio_to_kafka_connect():
    findings = Findings(
        bursts={"connect": [seen(10_000)], "ours": [seen(15_000), seen(20_000), seen(40_000)]}
    )

    rows = report.throughput_rows(findings, PLAN)

    name = "ours, 1 instance"
    expected = ["20,000", "15,000-40,000", "4.5", "2.00", "40,000", "2.00", "10.0", "4.0", "100"]
    assert row(rows, name) == [name, *expected]
    assert row(rows, "naive loop")[1:] == [report.MISSING] * 9


def test_without_kafka_connect_there_is_no_ratio():
    rows = report.throughput_rows(Findings(bursts={"ours": [seen(15_000)]}), PLAN)

    cells = row(rows, "ours, 1 instance")
    assert [cells[4], cells[6]] == [report.MISSING] * 2


def test_latencies_are_shown_by_rate_with_their_spread():
    findings = Findings(delays={"ours": [delays(10, 30), delays(14, 50), delays(12, 40)]})

    rows = report.latency_rows(findings, PLAN)

    assert row(rows, "ours, 1 instance")[1:] == ["12 (10-14)", "40 (30-50)"] * 2
    assert row(rows, "Kafka Connect")[1:] == [report.MISSING] * 4
    assert report.latency_headings(PLAN)[-1] == "p99 at 1,000/s"


def test_a_way_that_fails_once_has_no_figures_and_is_left_alone():
    findings = Findings()
    taken = iter([seen(1), NotMeasuredError("no Java"), seen(2)])

    def take():
        one = next(taken)
        if isinstance(one, Exception):
            raise one
        return one

    for _ in range(4):
        findings.add(findings.bursts, "connect", "Kafka Connect, throughput", take)

    assert findings.bursts == {}
    assert list(taken) == [seen(2)]
    assert "Kafka Connect, throughput: not measured: no Java" in report.as_page(
        findings, PLAN, FACTS
    )


def test_the_data_has_every_run_and_can_be_written_as_json():
    findings = Findings(
        bursts={"connect": [seen(10_000)], "ours": [seen(15_000), seen(20_000)]},
        delays={"ours": [delays(10, 30)]},
    )

    data = json.loads(json.dumps(report.as_data(findings, PLAN, FACTS)))

    ours = data["throughput"]["ours, 1 instance"]
    assert len(ours["runs"]) == 2
    assert ours["whole"]["rate"] == {"median": 17_500, "least": 15_000, "most": 20_000}
    assert ours["ratio_to_connect"] == 1.75
    assert data["latency"]["ours, 1 instance"][0][0]["p99_ms"] == 30
    assert data["plan"]["message_bytes"] == 226


def test_the_committed_lock_of_kafka_connect_has_hashes_and_one_version_of_each_jar():
    jars = kafka_jars.read_lock(connect_jars.LOCK)

    assert {len(jar.sha256) for jar in jars} == {64}
    assert len({jar.artifact for jar in jars}) == len(jars)
    names = {jar.name for jar in jars}
    assert f"mongo-kafka-connect-{connect_jars.SINK_VERSION}.jar" in names
    assert f"connect-runtime-{kafka_jars.VERSION}.jar" in names


def test_kafka_connect_is_what_all_are_compared_with():
    assert ways.BASELINE.name == "Kafka Connect"
    assert ways.BASELINE in ways.ALL
