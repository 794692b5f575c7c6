"""How fast a way brings a filled topic into its collection, and what that takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import attrs
import pymongo

from bench.job import NotMeasuredError, WrongResultError
from bench.stream.load import Load
from bench.stream.place import Place
from bench.stream.program import Program
from bench.stream.ways import Job, Way

_FIRST_SECONDS = 60.0
_LONGEST_SECONDS = 180.0
_LOOK_SECONDS = 0.01
_WEIGH_SECONDS = 0.2


@attrs.frozen(kw_only=True)
class Stretch:
    """What was seen between two looks.

    Attributes:
        messages: that came in this time.
        cpu_seconds: of the way's own processes.
        server_cpu_seconds: of mongod and the broker.

    """

    messages: int
    seconds: float
    cpu_seconds: float
    server_cpu_seconds: dict[str, float]

    @property
    def rate(self) -> float:
        """Tell the messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_micros(self) -> float:
        """Tell the processor time a message."""
        return self.cpu_seconds / self.messages * 1e6

    @property
    def server_cpu_micros(self) -> float:
        """Tell the servers' processor time a message."""
        return sum(self.server_cpu_seconds.values()) / self.messages * 1e6


@attrs.frozen(kw_only=True)
class Burst:
    """One run from the first document to the last; `late` is its second half."""

    whole: Stretch
    late: Stretch
    peak_rss_bytes: int


def measure(way: Way, place: Place, job: Job) -> Burst:
    """Run a way once on all of the job's messages.

    Raises:
        NotMeasuredError: it ended, or took too long.
        WrongResultError: there is not one document for each message.

    """
    with pymongo.MongoClient(place.mongo_url) as client:
        target = client[place.database][job.collection]
        programs = way.start(place, job)
        try:
            burst = _follow(place, programs, target, job.messages)
        finally:
            for program in programs:
                program.stop()
        found = target.count_documents({})
        if found != job.messages:
            raise WrongResultError(f"{found:,} documents for {job.messages:,} messages")
        target.drop()
    return burst


@attrs.frozen(kw_only=True)
class _Seen:
    at: float
    documents: int
    cpu_seconds: float
    server_cpu_seconds: dict[str, float]


class _Observer:
    """Looks at the collection and at the processes."""

    def __init__(self, place: Place, programs: Sequence[Program], target: Any) -> None:
        self._programs, self._target = programs, target
        self._own = Load(program.pid for program in programs)
        self._servers = {name: Load([pid]) for name, pid in place.server_pids.items()}
        self._weighed_at = 0.0
        self.peak_rss_bytes = 0

    def await_documents(self, wanted: int, patience_seconds: float) -> _Seen:
        """Wait for so many documents, by the collection's own account, which takes no time."""
        deadline = time.monotonic() + patience_seconds
        while (found := self._target.estimated_document_count()) < wanted:
            for program in self._programs:
                program.check()
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"{found:,} documents after {patience_seconds:.0f} s")
            self._weigh()
            time.sleep(_LOOK_SECONDS)
        return _Seen(
            at=time.perf_counter(),
            documents=found,
            cpu_seconds=self._own.cpu_seconds(),
            server_cpu_seconds={name: load.cpu_seconds() for name, load in self._servers.items()},
        )

    def _weigh(self) -> None:
        """Look at the memory now and then."""
        if time.monotonic() - self._weighed_at > _WEIGH_SECONDS:
            self._weighed_at = time.monotonic()
            self.peak_rss_bytes = max(self.peak_rss_bytes, self._own.rss_bytes())


def _follow(place: Place, programs: Sequence[Program], target: Any, wanted: int) -> Burst:
    observer = _Observer(place, programs, target)
    first = observer.await_documents(1, _FIRST_SECONDS)
    half = observer.await_documents(wanted // 2, _LONGEST_SECONDS)
    last = observer.await_documents(wanted, _LONGEST_SECONDS)
    return Burst(
        whole=_between(first, last),
        late=_between(half, last),
        peak_rss_bytes=observer.peak_rss_bytes,
    )


def _between(first: _Seen, last: _Seen) -> Stretch:
    if last.documents <= first.documents:
        raise NotMeasuredError("too many documents came at once; measure more messages")
    return Stretch(
        messages=last.documents - first.documents,
        seconds=last.at - first.at,
        cpu_seconds=last.cpu_seconds - first.cpu_seconds,
        server_cpu_seconds={
            name: spent - first.server_cpu_seconds[name]
            for name, spent in last.server_cpu_seconds.items()
        },
    )
