"""A stream instance on a real broker and a real mongod: every message once, whatever happens."""

import contextlib
import json
import signal
import threading
import time

import psutil
import pytest
import stream_shop
from confluent_kafka import TopicPartition
from stream_shop import wait_for

from mysimbdp import naming
from mysimbdp.streaming import orders


@pytest.fixture
def shop(mongod, kafka, platform_database, tenant_name, tmp_path):
    """Give a function that sets a tenant with one stream app up."""
    with contextlib.ExitStack() as exits:

        def make(*arguments, **keywords):
            number = len(list(tmp_path.iterdir()))
            folder = tmp_path / str(number)
            folder.mkdir()
            return exits.enter_context(
                stream_shop.opened(mongod, kafka, tenant_name(), folder, *arguments, **keywords)
            )

        yield make


def numbers(count, start=0):
    return [{"n": n, "text": "x" * 20} for n in range(start, start + count)]


def test_every_message_becomes_a_document_and_is_committed_after_it(shop):
    app = shop(partitions=4)
    app.produce(numbers(5_000))

    instance = app.start()
    wait_for(lambda: app.count() == 5_000)
    exit_code = instance.drain()

    assert exit_code == 0
    assert app.numbers() == list(range(5_000))
    assert app.committed() == 5_000
    assert app.rejects() == []


def test_what_was_taken_before_a_kill_is_stored_once(shop):
    app = shop(partitions=2)
    app.produce(numbers(20_000))
    first = app.start()
    wait_for(lambda: app.count() > 500)
    first.kill()
    seen = app.count()

    app.produce(numbers(5_000, start=20_000))
    second = app.start()
    wait_for(lambda: app.count() >= 25_000)

    assert second.drain() == 0
    assert seen > 500
    assert app.numbers() == list(range(25_000))
    assert app.committed() == 25_000


def test_a_broker_that_is_killed_loses_and_doubles_nothing(shop, kafka):
    app = shop(partitions=2)
    app.produce(numbers(2_000))
    instance = app.start()
    wait_for(lambda: app.count() > 0)

    kafka.kill()
    instance.await_state("waiting")
    kafka.start()
    app.produce(numbers(3_000, start=2_000))
    wait_for(lambda: app.count() >= 5_000)

    assert instance.drain() == 0
    assert app.numbers() == list(range(5_000))
    assert app.committed() == 5_000


def test_a_database_that_is_killed_loses_and_doubles_nothing(shop, mongod):
    app = shop(partitions=2)
    app.produce(numbers(2_000))
    instance = app.start()
    wait_for(lambda: app.count() > 0)

    mongod.kill()
    app.produce(numbers(3_000, start=2_000))
    instance.await_state("waiting")
    mongod.start()
    wait_for(lambda: app.count() >= 5_000)

    assert instance.drain() == 0
    assert app.numbers() == list(range(5_000))
    assert app.rejects() == []


def test_memory_is_bounded_while_the_database_stands_still(shop, mongod):
    app = shop(partitions=2)
    instance = app.start()
    instance.await_state("running")
    process = psutil.Process(instance.process.pid)
    app.produce([{"n": n, "text": "x" * 1_000} for n in range(10_000)])
    wait_for(lambda: app.count() == 10_000)
    before = process.memory_info().rss

    mongod.process.send_signal(signal.SIGSTOP)
    try:
        app.produce(
            ({"n": n, "text": "x" * 1_000} for n in range(10_000, 250_000)),
            **{"queue.buffering.max.messages": 500_000},
        )
        # The producer took 240 MB: as much as a reader without bounds would hold by now.
        peak = max(process.memory_info().rss for _ in range(50) if not time.sleep(0.1))
    finally:
        mongod.process.send_signal(signal.SIGCONT)
    wait_for(lambda: app.count() == 250_000, 120)

    assert peak - before < 150 * 2**20
    assert instance.drain() == 0
    assert app.committed() == 250_000


def test_a_message_that_cannot_be_read_is_rejected_with_its_place_and_reason(shop):
    app = shop(app="max_reject_ratio: 1")
    app.produce([{"n": 0}, b"{broken", b"[1]", b"\xff\xfe", None, {"n": 2**70}, {"n": 6}])

    instance = app.start()
    wait_for(lambda: app.committed() == 7)
    instance.drain()

    assert app.numbers() == [0, 6]
    rejects = app.rejects()
    assert [(one["topic"], one["partition"], one["offset"]) for one in rejects] == [
        ("events", 0, offset) for offset in range(1, 6)
    ]
    assert rejects[0]["raw"] == "{broken"
    assert "cannot be read" in rejects[0]["reason"]
    assert rejects[3]["reason"] == "the message has no value"
    assert "64 bits" in rejects[4]["reason"]


REFUSING = """
from mysimbdp import sdk
def ingest(messages):
    for message in messages:
        if message["n"] == 13:
            raise KeyError("fare")
    return {"rows": [
        sdk.Reject("odd") if m["n"] % 2 else None if m["n"] == 4 else m for m in messages
    ]}
"""


def test_only_the_message_that_the_code_refuses_or_fails_for_is_rejected(shop):
    app = shop(REFUSING, app="max_reject_ratio: 1")
    app.produce(numbers(20))

    instance = app.start()
    wait_for(lambda: app.committed() == 20)
    instance.drain()

    assert app.numbers() == [n for n in range(20) if n % 2 == 0 and n != 4]
    reasons = {one["offset"]: one["reason"] for one in app.rejects()}
    assert reasons[1] == "odd"
    assert reasons[4] == "dropped by the tenant callable"
    assert reasons[13] == "KeyError: 'fare' (pipeline.py, line 6)"
    assert len(reasons) == 11


def test_a_rejected_message_that_is_read_again_with_better_code_is_stored_only(shop):
    app = shop("def ingest(messages): raise ValueError", app="max_reject_ratio: 1")
    app.produce(numbers(50))
    instance = app.start()
    wait_for(lambda: app.committed() == 50)
    instance.drain()
    assert len(app.rejects()) == 50

    code = app.settings.tenant_pipelines / app.tenant / "pipeline.py"
    code.write_text(stream_shop.ECHO)
    app.forget_positions()
    instance = app.start()
    wait_for(lambda: app.count() == 50)
    instance.drain()

    assert app.rejects() == []


def test_too_many_rejects_stop_the_app_with_that_cause_and_keep_the_reasons(shop):
    app = shop(
        "from mysimbdp import sdk\ndef ingest(ms): return {'rows': [sdk.Reject('no')] * len(ms)}"
    )
    app.produce(numbers(500))

    instance = app.start()
    exit_code = instance.process.wait(60)

    assert exit_code == orders.TERMINAL_EXIT
    assert instance.statuses[-1].cause == "too_many_rejects"
    assert app.committed() == len(app.rejects()) >= 100


def test_a_topic_that_was_made_again_is_noticed_at_the_start(shop):
    app = shop()
    app.produce(numbers(100))
    instance = app.start()
    wait_for(lambda: app.committed() == 100)
    instance.drain()

    app.delete_topic()
    app.await_no_topic()
    app.make_topic()
    app.produce(numbers(50))
    instance = app.start()

    assert instance.process.wait(60) == orders.TERMINAL_EXIT
    assert instance.statuses[-1].cause == "topic_recreated"
    assert app.count() == 100


def test_a_topic_that_is_made_again_under_the_reader_is_noticed(shop):
    app = shop()
    app.produce(numbers(100))
    instance = app.start()
    wait_for(lambda: app.committed() == 100)

    app.delete_topic()
    app.await_no_topic()
    app.make_topic()
    app.produce(numbers(500))

    assert instance.process.wait(60) == orders.TERMINAL_EXIT
    assert instance.statuses[-1].cause in {"topic_recreated", "topic_missing"}
    assert app.count() == 100


def test_messages_that_were_deleted_before_they_were_read_are_noticed(shop):
    app = shop()
    app.produce(numbers(100))
    instance = app.start()
    wait_for(lambda: app.committed() == 100)
    instance.drain()
    app.produce(numbers(100, start=100))
    place = TopicPartition(naming.topic(app.tenant, "events"), 0, 150)
    app.admin.delete_records([place])[place].result()

    instance = app.start()

    assert instance.process.wait(60) == orders.TERMINAL_EXIT
    assert instance.statuses[-1].cause == "topic_truncated"
    assert "50 messages" in instance.statuses[-1].error
    assert app.count() == 100


def test_instances_share_the_partitions_and_take_over_from_one_that_dies(shop):
    app = shop(partitions=4)
    instances = [app.start(number) for number in range(2)]
    wait_for(
        lambda: all(len(one.statuses[-1].partitions) == 2 for one in instances if one.statuses)
    )
    app.produce(numbers(20_000))
    wait_for(lambda: app.count() > 1_000)

    instances[0].kill()
    app.produce(numbers(20_000, start=20_000))
    wait_for(lambda: app.count() >= 40_000)
    wait_for(lambda: len(instances[1].statuses[-1].partitions) == 4)

    assert instances[1].drain() == 0
    assert app.numbers() == list(range(40_000))
    assert app.committed() == 40_000


def test_instances_that_come_and_go_lose_and_double_nothing(shop):
    app = shop(partitions=4)
    steady = app.start()
    producer = threading.Thread(target=app.produce, args=(numbers(60_000),))
    producer.start()
    for number in range(1, 5):
        guest = app.start(number)
        guest.await_state("running")
        assert guest.drain() == 0
    producer.join()
    wait_for(lambda: app.count() >= 60_000)

    assert steady.drain() == 0
    assert app.numbers() == list(range(60_000))
    assert app.committed() == 60_000


KEYED = """
def ingest(messages):
    return {"sensors": [{"sensor": m["n"] % 3, "latest": m["n"]} for m in messages],
            "rows": [{"n": m["n"], "sensor": m["n"] % 3} for m in messages]}
"""


def test_keyed_documents_are_replaced_by_later_ones(shop):
    app = shop(KEYED, app="collections: {rows: {}, sensors: {key: sensor}}")
    app.produce(numbers(3_000))

    instance = app.start()
    wait_for(lambda: app.committed() == 3_000)
    instance.drain()

    assert app.count() == 3_000
    assert app.documents("sensors") == [
        {"_id": n, "sensor": n, "latest": 2_997 + n} for n in range(3)
    ]


@pytest.mark.parametrize(
    ("batch", "code"),
    [
        ("lines", "import json\ndef ingest(m): return {'rows': [json.loads(x) for x in m]}"),
        ("arrow", "def ingest(table): return {'rows': table.select(['n'])}"),
        (
            "messages",
            """
import json
def ingest(messages):
    return {"rows": [{**json.loads(m.value), "o": m.offset, "k": m.key, "t": m.topic}
                     for m in messages]}
""",
        ),
    ],
)
def test_the_code_gets_its_messages_as_registered(shop, batch, code):
    app = shop(code, app=f"batch: {batch}")
    app.produce(numbers(500), key=b"key")

    instance = app.start()
    wait_for(lambda: app.committed() == 500)
    instance.drain()

    assert app.numbers() == list(range(500))
    if batch == "messages":
        assert [(one["o"], one["k"], one["t"]) for one in app.documents()] == [
            (n, b"key", "events") for n in range(500)
        ]


def test_the_same_data_can_go_to_files_too_each_line_once(shop):
    app = shop(app="sink: files")
    app.produce(numbers(3_000))
    instance = app.start()
    wait_for(lambda: app.committed() > 0)
    instance.kill()
    app.produce(numbers(2_000, start=3_000))

    instance = app.start()
    wait_for(lambda: app.committed() == 5_000)
    instance.drain()

    (file,) = (app.settings.state / "exports" / app.tenant / "app" / "rows").glob("*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["n"] for line in lines] == list(range(5_000))
    assert len({line["_id"] for line in lines}) == 5_000
    assert app.count() == 0


@pytest.mark.parametrize(
    ("code", "resources", "cause"),
    [
        ("def ingest(m): x = [bytearray(10**7) for _ in iter(int, 1)]", "memory: 300MB", "memory"),
        ("import time\ndef ingest(m): time.sleep(60)", "timeout: 2s", "timeout"),
        ("import os\ndef ingest(m): os._exit(3)", "cpu: 1", "crash"),
        ("import nothing_of_it\ndef ingest(m): return m", "cpu: 1", "not_loadable"),
        ("def ingest(m): return {'rows': m[1:]}", "cpu: 1", "bad_output"),
        ("def ingest(m): return {'others': m}", "cpu: 1", "bad_output"),
    ],
)
def test_each_way_to_die_has_its_own_cause_and_commits_nothing(shop, code, resources, cause):
    app = shop(code, app=f"resources: {{{resources}}}")
    app.produce(numbers(10))

    instance = app.start()
    exit_code = instance.process.wait(60)

    assert exit_code in {1, orders.TERMINAL_EXIT}
    assert instance.statuses[-1].cause == cause, instance.statuses[-1]
    assert app.committed() == 0
    assert app.count() == 0


def test_code_that_never_returns_does_not_hold_up_the_end(shop):
    app = shop("def ingest(messages):\n    while True: pass")
    app.produce(numbers(30_000))
    instance = app.start()
    instance.await_state("running")
    (child,) = psutil.Process(instance.process.pid).children()

    exit_code = instance.drain(seconds=30)

    assert exit_code == 0
    assert not child.is_running()
    assert app.committed() == 0


def test_an_instance_ends_when_its_supervisor_falls_silent(shop):
    app = shop()
    instance = app.start()
    instance.await_state("running")

    instance.fall_silent()

    assert instance.process.wait(30) == 0


def test_nothing_is_left_when_the_supervisor_is_killed(shop, tmp_path):
    app = shop()
    instance = app.start()
    instance.await_state("running")
    (child,) = psutil.Process(instance.process.pid).children()

    instance.kill()

    assert psutil.wait_procs([child], timeout=10)[0] == [child]


def test_reports_say_what_was_ingested(shop):
    app = shop()
    app.produce(numbers(1_000) + [b"broken"] * 20)

    instance = app.start()
    wait_for(lambda: app.committed() == 1_020)
    instance.drain()

    with app.metrics() as read:
        wait_for(lambda: sum(one["window"]["messages"] for one in read()) == 1_020)
        reports = read()
    assert sum(one["window"]["rejected"] for one in reports) == 20
    last = reports[-1]
    assert last["origin"] == {"streaming_app_id": "app", "tenant_id": app.tenant, "instance": 0}
    assert last["metrics"]["total_number_of_messages"] == 1_020
    busy = max(reports, key=lambda one: one["window"]["messages"])
    assert busy["metrics"]["processing_rate"] > 0
    assert busy["metrics"]["average_ingestion_time"] > 0
    assert busy["window"]["max_ingestion_time"] >= busy["metrics"]["average_ingestion_time"]
    assert last["window"]["lag"] == 0
