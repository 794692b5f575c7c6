"""The ways from a topic into a collection, each as the processes that take it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import attrs

from bench.stream import connect, instances
from bench.stream.place import Job, Place
from bench.stream.program import Program

__all__ = ["ALL", "BASELINE", "KEYS", "Job", "Way"]


@attrs.frozen(kw_only=True)
class Way:
    """A way and how it is measured.

    Attributes:
        key: begins the names of its topics, groups and collections.
        share: it is too slow for more than one of so many messages.
        is_timed: its latency is measured too.

    """

    key: str
    name: str
    start: Callable[[Place, Job], list[Program]]
    share: int = 1
    is_timed: bool = True


def _loop(kind: str) -> Callable[[Place, Job], list[Program]]:
    def start(place: Place, job: Job) -> list[Program]:
        order = {
            "loop": kind,
            "kafka": place.login,
            "topic": place.topic(job.topic),
            "group": place.group(job.name),
            "mongo_url": place.mongo_url,
            "database": place.database,
            "collection": job.collection,
            "messages": job.messages,
        }
        command = [sys.executable, "-m", "bench.stream.loops"]
        return [Program(command, place.log(job.name), json.dumps(order).encode() + b"\n")]

    return start


BASELINE = Way(key="connect", name="Kafka Connect", start=connect.start)
ALL = (
    Way(key="naive", name="naive loop", start=_loop("naive"), share=25, is_timed=False),
    Way(key="batched", name="batched loop", start=_loop("batched")),
    BASELINE,
    Way(
        key="upserts",
        name="Kafka Connect, upserts",
        start=connect.start_with_upserts,
        share=5,
        is_timed=False,
    ),
    Way(key="ours", name="ours, 1 instance", start=instances.starter(1)),
    Way(key="ours2", name="ours, 2 instances", start=instances.starter(2), is_timed=False),
)
KEYS = tuple(way.key for way in ALL)
