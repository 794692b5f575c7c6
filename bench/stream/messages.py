"""The messages of the benchmark: JSON objects of one size, numbered, with their production time."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Producer

SIZE_BYTES = 226
PARTITIONS = 4

_HEAD = (
    b'{"n":%d,"at":%d,"sampled":%s,"station":"station-%03d","latitude":60.1867,'
    b'"longitude":24.8277,"temperature":%.2f,"humidity":%d,"is_indoor":false,"note":"'
)
_TAIL = b'"}'
_FLUSH_SECONDS = 60.0
_FULL_SECONDS = 0.1


def make(number: int, at_ns: int, *, is_sampled: bool = False) -> bytes:
    """Make one message of 226 bytes."""
    flag = b"true" if is_sampled else b"false"
    temperature = number % 4_000 / 100 - 10
    head = _HEAD % (number, at_ns, flag, number % 500, temperature, number % 100)
    return head + b"x" * (SIZE_BYTES - len(head) - len(_TAIL)) + _TAIL


def fill(login: Mapping[str, str], topic: str, count: int) -> None:
    """Send `count` messages, evenly over the partitions, and wait until they are acknowledged."""
    producer = Producer({**login, "linger.ms": 50, "batch.size": 2**20})
    for number in range(count):
        send(producer, topic, number, make(number, time.time_ns()))
    flush(producer)


def send(producer: Producer, topic: str, number: int, message: bytes) -> None:
    """Hand a message over; wait while the client is full."""
    while True:
        try:
            producer.produce(topic, message, partition=number % PARTITIONS)
        except BufferError:
            producer.poll(_FULL_SECONDS)
        else:
            return


def flush(producer: Producer) -> None:
    """Wait until all messages are acknowledged."""
    if left := producer.flush(_FLUSH_SECONDS):
        raise TimeoutError(f"Kafka did not acknowledge {left} messages")
