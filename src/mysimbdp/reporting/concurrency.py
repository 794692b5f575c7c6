"""How fast ingestions are, alone and together, depending on how many run at once.

An ingestion's bytes are taken as spread evenly over its time. A line sweeps over all starts and
ends; between two of them the set of running ingestions, and so the throughput, is constant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import attrs
import numpy as np

from mysimbdp.reporting import report


@attrs.frozen(kw_only=True)
class Interval:
    """The time of one ingestion, in seconds of any clock; `megabytes` is None if it failed."""

    tenant: str
    start_seconds: float
    end_seconds: float
    megabytes: float | None

    @property
    def seconds(self) -> float:
        """Return how long it ran."""
        return self.end_seconds - self.start_seconds

    @property
    def megabytes_per_second(self) -> float | None:
        """Return the even speed; a failed ingestion has none, it only takes its place."""
        if self.megabytes is None:
            return None
        return self.megabytes / self.seconds


@attrs.frozen(kw_only=True)
class Observation:
    """A throughput that held for some seconds while `concurrent` ingestions ran.

    `tenant` is None when the throughput is that of all together.
    """

    concurrent: int
    megabytes_per_second: float
    seconds: float
    tenant: str | None = None


@attrs.frozen(kw_only=True)
class Level:
    """All observations at one number of concurrent ingestions."""

    concurrent: int
    observations: int
    seconds: float
    average: float
    lower_quartile: float
    median: float
    upper_quartile: float


def intervals(ingestions: Iterable[report.IngestionReport]) -> tuple[Interval, ...]:
    """Take the time of every ingestion that has run to its end."""
    return tuple(
        Interval(
            tenant=ingestion.tenant,
            start_seconds=ingestion.started_at.timestamp(),
            end_seconds=ingestion.ended_at.timestamp(),
            megabytes=ingestion.size_bytes / report.MEGABYTE if ingestion.success else None,
        )
        for ingestion in ingestions
        if ingestion.started_at and ingestion.ended_at and ingestion.started_at < ingestion.ended_at
    )


def per_ingestor(ran: Sequence[Interval]) -> tuple[Observation, ...]:
    """Observe each ingestion once, at the number that ran on average while it did, rounded."""
    crowding: dict[int, float] = defaultdict(float)
    for seconds, running in _sweep(ran):
        for index in running:
            crowding[index] += seconds * len(running)
    return tuple(
        Observation(
            concurrent=round(crowding[index] / interval.seconds),
            megabytes_per_second=speed,
            seconds=interval.seconds,
            tenant=interval.tenant,
        )
        for index, interval in enumerate(ran)
        if (speed := interval.megabytes_per_second) is not None
    )


def total(ran: Sequence[Interval]) -> tuple[Observation, ...]:
    """Observe the throughput of all together, once for each time between two starts or ends."""
    return tuple(
        Observation(
            concurrent=len(running),
            megabytes_per_second=sum(ran[index].megabytes_per_second or 0.0 for index in running),
            seconds=seconds,
        )
        for seconds, running in _sweep(ran)
    )


def levels(observations: Iterable[Observation], *, by_time: bool) -> tuple[Level, ...]:
    """Sum up the observations at each number of concurrent ingestions, from few to many.

    Args:
        observations: of ingestors, or of all together.
        by_time: weigh each by its seconds; else all count alike.

    """
    groups: dict[int, list[Observation]] = defaultdict(list)
    for observation in observations:
        groups[observation.concurrent].append(observation)
    return tuple(
        _level(concurrent, groups[concurrent], by_time=by_time) for concurrent in sorted(groups)
    )


def _sweep(ran: Sequence[Interval]) -> Iterable[tuple[float, frozenset[int]]]:
    """Yield length in seconds and indices of the running ones, for each time that any runs."""
    changes = sorted(
        [(interval.start_seconds, True, index) for index, interval in enumerate(ran)]
        + [(interval.end_seconds, False, index) for index, interval in enumerate(ran)]
    )
    running: set[int] = set()
    before = 0.0
    for now, is_start, index in changes:
        if running and now > before:
            yield now - before, frozenset(running)
        (running.add if is_start else running.remove)(index)
        before = now


def _level(concurrent: int, observations: Sequence[Observation], *, by_time: bool) -> Level:
    speeds = np.array([observation.megabytes_per_second for observation in observations])
    seconds = np.array([observation.seconds for observation in observations])
    weights = seconds if by_time else np.ones_like(seconds)
    quartiles = np.quantile(speeds, (0.25, 0.5, 0.75), weights=weights, method="inverted_cdf")
    lower, median, upper = (float(value) for value in quartiles)
    return Level(
        concurrent=concurrent,
        observations=len(observations),
        seconds=float(seconds.sum()),
        average=float(np.average(speeds, weights=weights)),
        lower_quartile=lower,
        median=median,
        upper_quartile=upper,
    )
