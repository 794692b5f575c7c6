"""A tenant's script as an instance: what it gets, how it ends, and what is seen from outside."""

import contextlib
import itertools
import json
import signal
import textwrap
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import stream_shop
from confluent_kafka import Consumer
from stream_shop import wait_for

from mysimbdp import naming, registry
from mysimbdp.reporting import tenant_log
from mysimbdp.samples import streams
from mysimbdp.streaming import report as reports

SAMPLE = (
    Path(__file__).parents[2] / "tenant_pipelines" / "tenant2" / "taxi_stream_script.py"
).read_text()
SLEEPS = "import time\nwhile True: time.sleep(0.1)"


@pytest.fixture
def shop(mongod, kafka, platform_database, tenant_name, tmp_path):
    """Give a function that sets a tenant with one script up."""
    with contextlib.ExitStack() as exits:

        def make(script, *, partitions=1, window="1s", memory="512MB", agreement=""):
            tenant = tenant_name()
            opened = stream_shop.opened(mongod, kafka, tenant, tmp_path, partitions=partitions)
            app = exits.enter_context(opened)
            folder = app.settings.tenant_pipelines / tenant
            (folder / "pipeline.py").write_text(textwrap.dedent(script))
            (folder / "pipelines.yaml").write_text(
                f"topics: {{events: {{partitions: {partitions}}}}}\n"
                "streams:\n  app:\n    topics: [events]\n    script: pipeline.py\n"
                f"    arguments: [{tenant}.events, trips]\n    window: {window}\n"
                f"    resources: {{memory: {memory}}}\n"
            )
            (registered,) = registry.load_tree(app.settings.home)
            assert not registered.problems, registered.problems
            registry.publish(app.settings.registry, [registered])
            app.make_topic("metrics")
            return app

        yield make


def send_trips(app, count, seed=0):
    app.produce(sample.value for sample in itertools.islice(streams.read_taxi(seed), count))


def read_log(app):
    return tenant_log.in_folder(app.settings.logs, app.tenant).path.read_text()


def script_of(instance):
    """Return the process of the script itself, not the one that it was before."""

    def find():
        assert instance.process.poll() is None, instance.statuses[-1]
        for child in psutil.Process(instance.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.cmdline()[3:4] and child.cmdline()[3].endswith("pipeline.py"):
                    return child
        return None

    return wait_for(find)


def read_own_reports(app, count):
    """Read what the script says of itself."""
    consumer = Consumer(
        {**app.login, "group.id": f"{app.tenant}.test", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe([naming.topic(app.tenant, naming.OWN_REPORTS)])
    try:
        return [message.value() for message in consumer.consume(count, 15.0)]
    finally:
        consumer.close()


def test_the_sample_script_stores_all_and_the_figures_from_outside_are_those_that_were_sent(shop):
    app = shop(SAMPLE, partitions=2)
    instance = app.start()
    instance.await_state("running")
    script_of(instance)

    for seed in range(3):
        send_trips(app, 1_000, seed)
        wait_for(lambda sent=1_000 * (seed + 1): app.committed() == sent)
    exit_code = instance.drain()

    assert exit_code == 0
    assert app.count("trips") == 3_000
    with app.metrics() as read:
        found = wait_for(
            lambda: (
                (seen := read())
                and seen[-1]["metrics"]["total_number_of_messages"] == 3_000
                and seen
            )
        )
    assert {report["source"] for report in found} == {"outside"}
    assert sum(report["window"]["messages"] for report in found) == 3_000
    assert found[-1]["window"]["lag"] == 0
    times = [report["metrics"]["average_ingestion_time"] for report in found]
    assert 0 < max(times) < 15
    grown = sum(report["window"]["bytes"] for report in found)
    assert grown == pytest.approx(app.coredms.command("collStats", "trips")["size"], rel=0.05)
    for report in found:
        reports.decode(json.dumps(report).encode())
    assert instance.statuses[-1].total == 3_000
    assert "3000 messages stored" in read_log(app)
    (own,) = read_own_reports(app, 1)
    told = reports.decode_own(own, app.tenant, datetime.now(UTC))
    assert told.metrics.total_number_of_messages == 3_000
    assert (told.source, told.app) == ("tenant", "taxi-script")


def test_a_message_that_waited_makes_the_ingestion_time_long(shop):
    app = shop(SAMPLE)
    send_trips(app, 100)
    time.sleep(5)  # the messages are to be old when the script begins

    instance = app.start()
    wait_for(lambda: app.committed() == 100)
    assert instance.drain() == 0

    with app.metrics() as read:
        found = wait_for(lambda: [one for one in read() if one["window"]["messages"]])
    assert found[0]["window"]["messages"] == 100
    assert 5 < found[0]["metrics"]["average_ingestion_time"] < 15
    assert found[0]["window"]["max_ingestion_time"] >= found[0]["metrics"]["average_ingestion_time"]


def test_lag_is_what_the_script_has_not_committed(shop):
    app = shop(SLEEPS)
    send_trips(app, 70)
    instance = app.start()
    wait_for(lambda: instance.statuses and instance.statuses[-1].lag == 70)
    send_trips(app, 5)
    wait_for(lambda: instance.statuses[-1].lag == 75)
    assert instance.statuses[-1].total == 0


def test_several_instances_share_the_work_and_only_the_first_one_measures(shop):
    app = shop(SAMPLE, partitions=2)
    instances = [app.start(number) for number in range(2)]
    for instance in instances:
        script_of(instance)
    send_trips(app, 1_000)
    wait_for(lambda: app.committed() == 1_000)
    assert [instance.drain() for instance in instances] == [0, 0]

    assert app.count("trips") == 1_000
    with app.metrics() as read:
        found = wait_for(
            lambda: (
                (seen := read())
                and sum(one["window"]["messages"] for one in seen) == 1_000
                and seen
            )
        )
    assert {report["origin"]["instance"] for report in found} == {0}
    assert instances[1].statuses[-1].lag is None


def test_a_script_gets_two_servers_its_logins_its_group_and_its_arguments_only(shop):
    app = shop(
        """
        import json, os, sys, time
        print(json.dumps({"environment": sorted(os.environ), "group": os.environ["KAFKA_GROUP"],
                          "broker": os.environ["KAFKA_BROKER"], "arguments": sys.argv[1:]}))
        while True:
            time.sleep(0.1)
        """
    )
    app.start()
    line = wait_for(lambda: next((one for one in _lines(app) if '"environment"' in one), None))
    seen = json.loads(line.partition("| ")[2])
    assert set(seen["environment"]) - {"LC_CTYPE"} == {
        *("HOME", "LANG", "TMPDIR", "MONGO_URL", "KAFKA_BROKER", "KAFKA_USERNAME"),
        *("KAFKA_PASSWORD", "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_GROUP"),
    }
    assert seen["group"] == f"{app.tenant}.app"
    assert seen["broker"] == app.login["bootstrap.servers"]
    assert seen["arguments"] == [f"{app.tenant}.events", "trips"]


def _lines(app):
    path = tenant_log.in_folder(app.settings.logs, app.tenant).path
    return path.read_text().splitlines() if path.exists() else []


def test_a_killed_script_is_noticed_and_said_with_its_cause(shop):
    app = shop(SLEEPS)
    instance = app.start()
    script_of(instance).send_signal(signal.SIGKILL)

    assert instance.process.wait(20) == 1
    assert instance.state == "failed"
    assert instance.statuses[-1].cause == "signal"
    assert "SIGKILL" in instance.statuses[-1].error


@pytest.mark.parametrize(
    ("script", "cause", "words"),
    [
        ("raise SystemExit(3)", "script_error", "exit code 3"),
        ("print('done')", "crash", "ended by itself"),
        ("x = [bytearray(10**7) for _ in iter(int, 1)]", "memory", "more than 200 MB"),
    ],
)
def test_each_end_that_nobody_asked_for_has_its_cause(shop, script, cause, words):
    app = shop(script, memory="200MB")
    instance = app.start()

    assert instance.process.wait(30) == 1
    assert instance.statuses[-1].cause == cause
    assert words in instance.statuses[-1].error
    assert "ERROR" in read_log(app)


def test_a_script_that_does_not_hear_is_killed_with_all_that_it_started(shop, tmp_path):
    app = shop(
        f"""
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
            open({str(tmp_path / "daemon")!r}, "w").write(str(os.getpid()))
        while True:
            time.sleep(0.1)
        """
    )
    instance = app.start()
    wait_for(lambda: (tmp_path / "daemon").exists() and (tmp_path / "daemon").read_text())

    begin = time.monotonic()
    exit_code = instance.drain()

    assert exit_code == 0
    assert 10 <= time.monotonic() - begin < 25
    assert "draining" in {status.state for status in instance.statuses}
    assert not psutil.pid_exists(int((tmp_path / "daemon").read_text()))
    assert "did not end within 10 s" in read_log(app)


def test_a_script_dies_with_its_instance(shop):
    app = shop(SLEEPS)
    instance = app.start()
    script = script_of(instance)
    instance.kill()
    wait_for(lambda: not script.is_running() or script.status() == psutil.STATUS_ZOMBIE, 5)


def test_while_the_broker_is_away_the_script_waits_and_nothing_is_lost_or_doubled(shop, kafka):
    app = shop(SAMPLE)
    instance = app.start()
    script = script_of(instance)
    send_trips(app, 500)
    wait_for(lambda: app.count("trips") == 500)

    kafka.kill()
    instance.await_state("waiting")
    kafka.restart()
    instance.await_state("running")
    send_trips(app, 500, seed=1)
    wait_for(lambda: app.count("trips") == 1_000)

    assert script.is_running()
    assert instance.drain() == 0
    assert instance.statuses[-1].total == 1_000
    with app.metrics() as read:
        wait_for(lambda: sum(one["window"]["messages"] for one in read()) == 1_000)
