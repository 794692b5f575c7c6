"""Send messages to a topic at a given pace, and know how many have arrived for good."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from mysimbdp import errors
from mysimbdp.samples.streams import Sample

#: Time for the broker to say that it is there and has the topic.
_CONNECT_SECONDS = 5.0
#: Time for one message to arrive, over a restart of the broker.
_DELIVERY_SECONDS = 60.0
_ROOM_SECONDS = 0.1
_LINGER_MS = 20
_KEPT_FAULTS = 10


@attrs.define
class Sent:
    """What became of the messages so far."""

    produced: int = 0
    bad: int = 0
    delivered: int = 0
    failed: int = 0
    bytes: int = 0
    fault: str = ""

    def note(self, error: KafkaError | None, message: Message) -> None:
        """Take the word of the client about one message; it calls this from `poll`."""
        if error is None:
            self.delivered += 1
            self.bytes += len(message)
        else:
            self.failed += 1
            self.fault = error.str()


def send(
    login: Mapping[str, str],
    topic: str,
    samples: Iterable[Sample],
    *,
    delay_seconds: float = 0.0,
    stop: threading.Event | None = None,
    on_progress: Callable[[Sent], None] = lambda _sent: None,
) -> Sent:
    """Send the samples, one each `delay_seconds`, until they end or `stop`; wait for delivery.

    Raises:
        ServiceUnavailableError: the broker does not answer, or did not take all messages.
        UsageError: there is no such topic, or the login may not write to it.

    """
    stop = stop or threading.Event()
    sent = Sent()
    faults: deque[KafkaError] = deque(maxlen=_KEPT_FAULTS)
    producer = Producer(_configuration(login, delay_seconds, faults))
    _check_topic(producer, login, topic, faults)
    due: float | None = None
    for sample in samples:
        due = due or time.monotonic()
        if stop.wait(max(0.0, due - time.monotonic())) or sent.failed:
            break
        # Lateness is made up for as far as the next message.
        due = max(due + delay_seconds, time.monotonic())
        _produce(producer, topic, sample, sent)
        on_progress(sent)
    while producer.flush(_ROOM_SECONDS):
        on_progress(sent)
    on_progress(sent)
    if sent.failed:
        raise errors.ServiceUnavailableError(
            f"Kafka took {sent.delivered} of {sent.produced} messages for {topic}: {sent.fault}. "
            "See whether it runs (mysimbdp status).",
        )
    return sent


def _configuration(
    login: Mapping[str, str], delay_seconds: float, faults: deque[KafkaError]
) -> dict[str, Any]:
    return {
        **login,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": 0 if delay_seconds else _LINGER_MS,
        "message.timeout.ms": int(_DELIVERY_SECONDS * 1000),
        "error_cb": faults.append,
        "log_level": 0,  # errors are told by exceptions
    }


def _check_topic(
    producer: Producer, login: Mapping[str, str], topic: str, faults: deque[KafkaError]
) -> None:
    try:
        found = producer.list_topics(topic, timeout=_CONNECT_SECONDS).topics[topic].error
    except KafkaException as error:
        producer.poll(0)  # hear the reason, which is not the exception's
        told = faults[0] if faults else error.args[0]
        raise errors.ServiceUnavailableError(
            f"Kafka at {login['bootstrap.servers']} does not answer: {told.str()}. Start it "
            "(mysimbdp up), or set KAFKA_BROKER.",
        ) from error
    if found is not None:
        raise errors.UsageError(
            f"{login['sasl.username']} cannot send to the topic {topic}: {found.str()}. The "
            "registrar makes registered topics within a minute (mysimbdp status).",
        )


def _produce(producer: Producer, topic: str, sample: Sample, sent: Sent) -> None:
    while True:
        try:
            producer.produce(topic, key=sample.key, value=sample.value, on_delivery=sent.note)
        except BufferError:
            producer.poll(_ROOM_SECONDS)
        else:
            break
    sent.produced += 1
    sent.bad += sample.is_bad
    producer.poll(0)
