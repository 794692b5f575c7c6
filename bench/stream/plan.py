"""How much is measured, and the jobs that it takes."""

from __future__ import annotations

from typing import Any

import attrs

from bench.stream import ways
from bench.stream.ways import Job, Way


@attrs.frozen(kw_only=True)
class Plan:
    """How much is measured.

    Attributes:
        messages: read by each way, except by those that are too slow for it.
        rates: messages a second at which the latency is measured.
        paced_seconds: measured at each rate, after `lead_seconds` that are not.
        chosen: the ways that are measured.

    """

    runs: int
    messages: int
    rates: tuple[int, ...] = (100, 1_000, 5_000)
    paced_seconds: float
    lead_seconds: float = 1.0
    chosen: tuple[Way, ...] = ways.ALL

    def bursts(self) -> list[list[tuple[Way, Job]]]:
        """List the throughput jobs of each run; each begins with another way."""
        return [_turned(self._jobs("burst", self.chosen, run), run) for run in range(self.runs)]

    def paced(self) -> list[list[tuple[Way, Job]]]:
        """List the latency jobs of each run."""
        timed = tuple(way for way in self.chosen if way.is_timed)
        return [_turned(self._jobs("paced", timed, run), run) for run in range(self.runs)]

    def jobs(self) -> list[Job]:
        """List all jobs."""
        return [job for turn in (*self.bursts(), *self.paced()) for _, job in turn]

    def filled(self) -> dict[str, int]:
        """Say which topics are filled, with how many messages."""
        return {job.topic: job.messages for turn in self.bursts() for _, job in turn}

    def _jobs(self, kind: str, chosen: tuple[Way, ...], run: int) -> list[tuple[Way, Job]]:
        listed = []
        for way in chosen:
            name = f"{way.key}-{kind}-{run + 1}"
            wanted = self.messages // way.share
            topic = f"events-{wanted}" if kind == "burst" else name
            listed.append((way, Job(name=name, topic=topic, messages=wanted)))
        return listed


DEFAULT = Plan(runs=3, messages=400_000, paced_seconds=5.0)
QUICK = Plan(runs=1, messages=100_000, paced_seconds=3.0)


def _turned(jobs: list[Any], run: int) -> list[Any]:
    """Begin each run with another one, so that no place in the order is an advantage."""
    first = run % max(len(jobs), 1)
    return [*jobs[first:], *jobs[:first]]
