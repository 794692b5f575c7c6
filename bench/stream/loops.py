"""The usual loops of a consumer that writes to MongoDB: `naive` and `batched`.

A process of its own, its order on standard input; it ends with it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pymongo
from confluent_kafka import Consumer, KafkaException, Message
from pymongo.collection import Collection

MOST_MESSAGES = 10_000
WAIT_SECONDS = 0.1


def naive(consumer: Consumer, target: Collection[Any], count: int) -> None:
    """Take one message, insert one document, until there are `count`."""
    while count:
        message = consumer.poll(1.0)
        if message is not None:
            target.insert_one(_parse(message))
            count -= 1


def batched(consumer: Consumer, target: Collection[Any]) -> None:
    """Take many messages, insert them together, commit; without end."""
    while True:
        taken = consumer.consume(MOST_MESSAGES, WAIT_SECONDS)
        if taken:
            target.insert_many([_parse(message) for message in taken], ordered=False)
            consumer.commit(asynchronous=False)


def _parse(message: Message) -> dict[str, Any]:
    if error := message.error():
        raise KafkaException(error)
    return json.loads(message.value() or b"")


def main() -> None:
    """Carry out the order."""
    order = json.loads(sys.stdin.readline())
    is_naive = order["loop"] == "naive"
    consumer = Consumer(
        {
            **order["kafka"],
            "group.id": order["group"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": is_naive,
        }
    )
    consumer.subscribe([order["topic"]])
    with pymongo.MongoClient(order["mongo_url"]) as client:
        target = client[order["database"]][order["collection"]]
        if is_naive:
            naive(consumer, target, order["messages"])
            sys.stdin.read()
        else:
            batched(consumer, target)


if __name__ == "__main__":
    main()
