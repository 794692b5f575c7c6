"""How long a message takes from its production until it is readable, at steady rates."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import attrs
import pymongo
from confluent_kafka import Producer

from bench.job import NotMeasuredError, WrongResultError
from bench.stream import messages
from bench.stream.figures import percentile
from bench.stream.place import Place
from bench.stream.plan import Plan
from bench.stream.program import Program
from bench.stream.ways import Job, Way
from mysimbdp import coredms

#: So many messages a second are timed at most; more would measure the measuring.
MOST_SAMPLES = 200
_WARM_RATE = 1_000
_WARM_SECONDS = 3.0
_READY_SECONDS = 60.0
_LATE_SECONDS = 15.0
#: A producer that is slower than asked for has measured another rate.
_LEAST_SHARE = 0.95
_KNOCK_SECONDS = 0.2
_WAIT_MILLISECONDS = 100
_PIPELINE = [
    {"$match": {"fullDocument.sampled": True}},
    {"$project": {"fullDocument.at": True}},
]


@attrs.frozen(kw_only=True)
class Delay:
    """Latencies at one rate; `sent_rate` is the one that the producer kept."""

    rate: int
    sent_rate: float
    samples: int
    p50_ms: float
    p99_ms: float


def measure(way: Way, place: Place, job: Job, plan: Plan) -> list[Delay]:
    """Run a way on an empty topic, warm it up, and time messages at each rate.

    Raises:
        NotMeasuredError: it ended, or messages did not arrive.
        WrongResultError: there is not one document for each message.

    """
    # The change stream is read with another login than the way's own.
    url = coredms.registrar_url(place.settings, place.secrets)
    with pymongo.MongoClient(url) as client:
        target = client[place.database][job.collection]
        programs = way.start(place, job)
        try:
            sent = _knock(place, programs, target, job)
            delays = []
            steps = [(_WARM_RATE, _WARM_SECONDS, 0.0)]
            steps += [(rate, plan.paced_seconds, plan.lead_seconds) for rate in plan.rates]
            for rate, seconds, lead_seconds in steps:
                delay, count = _pace(place, programs, target, job, (rate, seconds, lead_seconds))
                delays.append(delay)
                sent += count
        finally:
            for program in programs:
                program.stop()
        found = target.count_documents({})
        if found != sent:
            raise WrongResultError(f"{found:,} documents for {sent:,} messages")
        target.drop()
    return delays[1:]


def _knock(place: Place, programs: Sequence[Program], target: Any, job: Job) -> int:
    """Send a message now and then until the first one is readable; return how many."""
    producer = Producer(place.login)
    deadline = time.monotonic() + _READY_SECONDS
    sent = 0
    while not target.estimated_document_count():
        for program in programs:
            program.check()
        if time.monotonic() > deadline:
            raise NotMeasuredError(f"no document after {_READY_SECONDS:.0f} s")
        message = messages.make(sent, time.time_ns())
        messages.send(producer, place.topic(job.topic), sent, message)
        messages.flush(producer)
        sent += 1
        time.sleep(_KNOCK_SECONDS)
    return sent


def _pace(
    place: Place,
    programs: Sequence[Program],
    target: Any,
    job: Job,
    step: tuple[int, float, float],
) -> tuple[Delay, int]:
    """Time messages at one rate; return how many were sent, too."""
    rate, seconds, lead_seconds = step
    stride = _stride(rate)
    with target.watch(_PIPELINE, max_await_time_ms=_WAIT_MILLISECONDS) as stream:
        pacer = _start_pacer(place, job, rate=rate, seconds=seconds + lead_seconds, stride=stride)
        try:
            arrivals, told = _listen(stream, programs, pacer, stride)
        finally:
            pacer.kill()
            pacer.wait()
    if told["rate"] < rate * _LEAST_SHARE:
        raise NotMeasuredError(
            f"the producer kept {told['rate']:,.0f} of {rate:,} messages a second"
        )
    begin_ns = told["began_ns"] + int(lead_seconds * 1e9)
    taken_ms = [(seen - at) / 1e6 for at, seen in arrivals if at >= begin_ns]
    delay = Delay(
        rate=rate,
        sent_rate=told["rate"],
        samples=len(taken_ms),
        p50_ms=percentile(taken_ms, 50),
        p99_ms=percentile(taken_ms, 99),
    )
    return delay, told["sent"]


def _stride(rate: int) -> int:
    """Sample one of so many messages: an odd number, so that it meets every partition."""
    return max(1, rate // MOST_SAMPLES) | 1


def _start_pacer(
    place: Place, job: Job, *, rate: int, seconds: float, stride: int
) -> subprocess.Popen[bytes]:
    order = {
        "kafka": place.login,
        "topic": place.topic(job.topic),
        "rate": rate,
        "seconds": seconds,
        "stride": stride,
    }
    pacer = subprocess.Popen(
        [sys.executable, "-m", "bench.stream.pace"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with contextlib.suppress(OSError):
        assert pacer.stdin is not None  # noqa: S101 - it was asked for
        pacer.stdin.write(json.dumps(order).encode())
        pacer.stdin.close()
    return pacer


def _listen(
    stream: Any, programs: Sequence[Program], pacer: subprocess.Popen[bytes], stride: int
) -> tuple[list[tuple[int, int]], dict[str, Any]]:
    """Note when each sampled message was produced and when it was readable, until all were."""
    arrivals: list[tuple[int, int]] = []
    told: dict[str, Any] | None = None
    wanted, deadline = None, None
    while wanted is None or len(arrivals) < wanted:
        change = stream.try_next()
        if change is not None:
            arrivals.append((change["fullDocument"]["at"], time.time_ns()))
            continue
        for program in programs:
            program.check()
        if told is None and pacer.poll() is not None:
            told = _read_account(pacer)
            wanted = -(-told["sent"] // stride)
            deadline = time.monotonic() + _LATE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            raise NotMeasuredError(
                f"{len(arrivals):,} of {wanted:,} timed messages were readable "
                f"{_LATE_SECONDS:.0f} s after the last one was sent"
            )
    return arrivals, told or {}


def _read_account(pacer: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert pacer.stdout is not None  # noqa: S101 - it was asked for
    text = pacer.stdout.read()
    if pacer.returncode != 0 or not text:
        raise NotMeasuredError(f"the producer ended with exit code {pacer.returncode}")
    return json.loads(text)
