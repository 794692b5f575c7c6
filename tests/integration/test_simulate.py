"""`mysimbdp simulate` on a real broker: what it says has arrived is there."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from mysimbdp import errors, registry
from mysimbdp.samples import producer, streams

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from mysimbdp.cli import main; main()", "simulate"]


@attrs.frozen
class Simulation:
    """The command, with a broker that has the sample tenants' topics."""

    login: dict
    environment: dict

    def start(self, *arguments):
        return subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments):
        process = self.start(*arguments)
        output, error = process.communicate(timeout=90)
        return process.returncode, output, error

    def read(self, topic):
        """Return all messages of a topic, in the order of each partition."""
        consumer = Consumer({**self.login, "group.id": "registrar.test"})
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            places = [TopicPartition(topic, number, 0) for number in partitions]
            ends = [consumer.get_watermark_offsets(place, timeout=10)[1] for place in places]
            consumer.assign(places)
            return [message for message in consumer.consume(sum(ends), 10.0) if sum(ends)]
        finally:
            consumer.close()


@pytest.fixture
def simulation(kafka, tmp_path):
    state = tmp_path / "var"
    state.mkdir()
    registry.publish(state / "registry.json", registry.load_tree(ROOT))
    admin = AdminClient(kafka.registrar_login())
    layout = {"tenant1.weather": 4, "tenant2.taxi": 2}
    topics = [NewTopic(name, partitions, 1) for name, partitions in layout.items()]
    with contextlib.suppress(KafkaException):  # those of an earlier test may still be going
        _await(admin.delete_topics(list(layout)))
    deadline = time.monotonic() + 30
    while layout.keys() & admin.list_topics(timeout=10).topics.keys():
        assert time.monotonic() < deadline
    _await(admin.create_topics(topics))
    for tenant in ("tenant1", "tenant2"):
        kafka.add_tenant(tenant)
    (state / "secrets").symlink_to(kafka.settings.secrets)
    environment = {
        "PATH": os.environ["PATH"],
        "MYSIMBDP_HOME": str(ROOT),
        "MYSIMBDP_STATE": str(state),
        "MYSIMBDP_KAFKA_PORT": str(kafka.settings.kafka_port),
    }
    yield Simulation(kafka.registrar_login(), environment)
    with contextlib.suppress(KafkaException):
        _await(admin.delete_topics(list(layout)))


def _await(futures):
    for future in futures.values():
        future.result()


def test_all_messages_arrive_once_with_their_keys_in_the_order_of_each_sensor(simulation):
    code, output, error = simulation.run("tenant1", "weather", "--delay", "0", "--count", "5000")

    assert (code, error) == (0, "")
    assert output.startswith("Delivered 5,000 messages to tenant1.weather: ")
    assert "msg/s" in output
    found = simulation.read("tenant1.weather")
    sent = list(itertools.islice(streams.read_weather(), 5_000))
    assert sorted(message.value() for message in found) == sorted(one.value for one in sent)
    for key in {one.key for one in sent}:
        of_sensor = [message for message in found if message.key() == key]
        assert len({message.partition() for message in of_sensor}) == 1
        assert [message.value() for message in of_sensor] == [
            one.value for one in sent if one.key == key
        ]


def test_messages_come_at_the_delay_that_was_asked_for(simulation):
    code, _, _ = simulation.run("tenant2", "taxi-script", "--delay", "0.1", "--count", "20")

    assert code == 0
    times = sorted(message.timestamp()[1] for message in simulation.read("tenant2.taxi"))
    assert len(times) == 20
    assert 1.8 < (times[-1] - times[0]) / 1000 < 3


def test_bad_messages_are_counted(simulation):
    code, output, _ = simulation.run(
        "tenant2", "taxi", "--delay", "0", "--count", "200", "--bad", "10"
    )

    assert code == 0
    assert "200 messages to tenant2.taxi, 20 bad:" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_and_it_says_how_many_have_arrived(simulation, number):
    process = simulation.start("tenant1", "weather", "--delay", "0.05")
    deadline = time.monotonic() + 30
    while not simulation.read("tenant1.weather"):
        assert time.monotonic() < deadline

    process.send_signal(number)
    output, error = process.communicate(timeout=20)

    assert (process.returncode, error) == (0, "")
    found = simulation.read("tenant1.weather")
    assert output.startswith(f"Delivered {len(found):,} messages to tenant1.weather: ")


def test_an_interrupted_count_is_told_by_the_exit_code(simulation):
    process = simulation.start("tenant1", "weather", "--delay", "0.05", "--count", "100000")
    deadline = time.monotonic() + 30
    while not simulation.read("tenant1.weather"):
        assert time.monotonic() < deadline

    process.send_signal(signal.SIGINT)

    assert process.wait(20) == 130


def test_a_broker_that_is_away_is_said_in_one_line(simulation, free_port):
    simulation.environment["MYSIMBDP_KAFKA_PORT"] = str(free_port())

    code, output, error = simulation.run("tenant1", "weather", "--count", "1")

    assert (code, output) == (1, "")
    assert "does not answer" in error
    assert "Connection refused" in error
    assert len(error.splitlines()) == 1


def test_a_topic_that_is_missing_is_said_in_one_line(kafka, simulation):
    login = kafka.add_tenant("tenant1")

    with pytest.raises(errors.UsageError, match=r"tenant1 cannot send to the topic tenant1\.none"):
        producer.send(login, "tenant1.none", [])


def test_a_message_that_the_broker_refuses_is_not_taken_for_delivered(kafka, simulation):
    large = streams.Sample(b"key", b"x" * 990_000)
    admin = AdminClient(kafka.registrar_login())
    _await(admin.delete_topics(["tenant1.weather"]))
    deadline = time.monotonic() + 30
    while "tenant1.weather" in admin.list_topics(timeout=10).topics:
        assert time.monotonic() < deadline
    small = {"max.message.bytes": "1000"}
    _await(admin.create_topics([NewTopic("tenant1.weather", 1, 1, config=small)]))
    login = kafka.add_tenant("tenant1")

    with pytest.raises(errors.ServiceUnavailableError, match="took 0 of 1 messages"):
        producer.send(login, "tenant1.weather", [large])
