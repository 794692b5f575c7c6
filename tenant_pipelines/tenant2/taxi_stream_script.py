"""Taxi trips from a topic by a script of the tenant's own, which reads, writes and reports.

    KAFKA_BROKER=… KAFKA_GROUP=… MONGO_URL=… python taxi_stream_script.py TOPIC COLLECTION

It commits only what MongoDB has acknowledged, so a message may come twice: the trip's own id is the
`_id`, and each write replaces the document of that id.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, Producer
from pymongo import MongoClient, ReplaceOne

VALUES = 15
MESSAGES_AT_ONCE = 1_000
REPORT_SECONDS = 10.0

log = logging.getLogger("taxi_stream_script")
stopping: list[int] = []


def main(topic: str, collection: str) -> None:
    """Store every trip of a topic until SIGTERM, then finish what was taken."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    consumer = Consumer(
        _login()
        | {
            "group.id": os.environ["KAFKA_GROUP"],
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    report = Report(f"{topic.partition('.')[0]}.metrics")
    with MongoClient(os.environ["MONGO_URL"], tz_aware=True) as client:
        trips = client.get_default_database()[collection]
        while not stopping:
            messages = [one for one in consumer.consume(MESSAGES_AT_ONCE, 1.0) if not one.error()]
            if writes := [_write(one) for one in messages if _is_trip(one)]:
                trips.bulk_write(writes, ordered=False)
            if messages:
                _commit(consumer)
            report.count(messages)
    consumer.close()
    report.send()
    log.info("%d messages stored or passed over", report.messages)


def _login() -> dict[str, Any]:
    return {
        "bootstrap.servers": os.environ["KAFKA_BROKER"],
        "security.protocol": os.environ["KAFKA_SECURITY_PROTOCOL"],
        "sasl.mechanism": os.environ["KAFKA_SASL_MECHANISM"],
        "sasl.username": os.environ["KAFKA_USERNAME"],
        "sasl.password": os.environ["KAFKA_PASSWORD"],
    }


def _commit(consumer: Consumer) -> None:
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:  # another instance has taken over, and gets them again
        log.warning("not committed: %s", error)


def _is_trip(message: Message) -> bool:
    return len(_values(message)) == VALUES


def _write(message: Message) -> ReplaceOne[dict[str, Any]]:
    values = _values(message)
    trip = {"_id": values[0], "vendor": values[1], "pickup": values[2], "dropoff": values[3]}
    return ReplaceOne({"_id": values[0]}, trip | {"fare": values[11]}, upsert=True)


def _values(message: Message) -> list[str]:
    return next(csv.reader([(message.value() or b"").decode(errors="replace")]), [])


class Report:
    """What this script says of itself, to the tenant's own metrics topic, each window."""

    def __init__(self, topic: str) -> None:
        self.topic, self.producer = topic, Producer(_login())
        self.started_at = self.opened_at = time.time()
        self.messages = self.bytes = self.told_messages = self.told_bytes = 0
        self.seconds = 0.0

    def count(self, messages: list[Message]) -> None:
        """Count stored messages; at the end of the window, report."""
        now = time.time()
        self.messages += len(messages)
        self.bytes += sum(len(message.value() or b"") for message in messages)
        self.seconds += sum(now - message.timestamp()[1] / 1000 for message in messages)
        if now - self.opened_at >= REPORT_SECONDS:
            self.send()

    def send(self) -> None:
        """Report the window and open the next one."""
        now = time.time()
        fresh, seconds = self.messages - self.told_messages, max(now - self.opened_at, 1e-3)
        times = (self.started_at, self.opened_at, now)
        names = ("ingestion_start_time", "measurement_start_time", "measurement_end_time")
        report = {
            "metrics": {
                "processing_rate": fresh / seconds,
                "throughput": (self.bytes - self.told_bytes) / seconds,
                "average_ingestion_time": self.seconds / fresh if fresh else 0.0,
                "total_ingestion_data_size": self.bytes // 2**20,
                "total_number_of_messages": self.messages,
            },
            "timeframe": {
                name: datetime.fromtimestamp(at, UTC).isoformat()
                for name, at in zip(names, times, strict=True)
            },
            "origin": {
                "streaming_app_id": "taxi-script",
                "tenant_id": self.topic.partition(".")[0],
            },
        }
        self.producer.produce(self.topic, json.dumps(report).encode())
        self.producer.flush(REPORT_SECONDS)
        self.opened_at, self.seconds = now, 0.0
        self.told_messages, self.told_bytes = self.messages, self.bytes


if __name__ == "__main__":
    main(*sys.argv[1:])
