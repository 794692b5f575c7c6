"""Send messages at a steady rate; a process of its own, its order on standard input.

Its last line on standard output says how many messages it sent, and how many of them are sampled.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from confluent_kafka import Producer

from bench.stream import messages

_TICK_SECONDS = 0.001


def main() -> None:
    """Carry out the order."""
    order = json.load(sys.stdin)
    producer = Producer(order["kafka"])
    began_ns = time.time_ns()
    sent = _send(producer, order)
    took_seconds = (time.time_ns() - began_ns) / 1e9
    messages.flush(producer)
    print(json.dumps({"began_ns": began_ns, "sent": sent, "rate": sent / took_seconds}))


def _send(producer: Producer, order: dict[str, Any]) -> int:
    began, sent = time.monotonic(), 0
    wanted = int(order["rate"] * order["seconds"])
    while sent < wanted:
        due = min(int((time.monotonic() - began) * order["rate"]) + 1, wanted)
        for number in range(sent, due):
            is_sampled = number % order["stride"] == 0
            message = messages.make(number, time.time_ns(), is_sampled=is_sampled)
            messages.send(producer, order["topic"], number, message)
        sent = due
        producer.poll(0)
        time.sleep(_TICK_SECONDS)
    return sent


if __name__ == "__main__":
    main()
