"""Ours: the instances of a stream app as the supervisor starts them, the callable in a sandbox."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from bench.stream.place import Job, Place
from bench.stream.program import Program
from mysimbdp.streaming import orders
from mysimbdp.streaming.orders import Order


class Instance(Program):
    """One instance, which hears a sign of life every second until it is told to end."""

    def __init__(self, place: Place, job: Job, number: int) -> None:
        order = Order(
            tenant=place.tenant,
            app=job.name,
            number=number,
            kafka=place.login,
            metrics=place.metrics_login,
            mongo_url=place.mongo_url,
            platform_url=place.platform_url,
        )
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(place.folder),
            "LANG": "C.UTF-8",
            "MYSIMBDP_HOME": str(place.settings.home),
            "MYSIMBDP_STATE": str(place.settings.state),
        }
        command = [sys.executable, "-m", "mysimbdp.streaming.instance"]
        super().__init__(command, place.log(job.name), orders.encode(order), environment)
        self._ended = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def stop(self, *, is_patient: bool = True) -> None:
        """Let it drain."""
        self._ended.set()
        super().stop(is_patient=is_patient)

    def _beat(self) -> None:
        while not self._ended.wait(orders.BEAT_SECONDS):
            self.say(b"\n")


def starter(count: int) -> Callable[[Place, Job], list[Program]]:
    """Make the start of so many instances."""

    def start(place: Place, job: Job) -> list[Program]:
        return [Instance(place, job, number) for number in range(count)]

    return start
