"""End what a killed program leaves running, before it is started again.

A scheduler that is killed cannot take its workers along; the next one starts its own, and the
first ones would stay for ever. Runs as an event listener of supervisord, in its session.
"""

from __future__ import annotations

import contextlib
import os

import psutil
from supervisor import childutils


def serve() -> None:
    """Sweep each time the supervisor reports that a program has ended by itself."""
    while True:
        childutils.listener.wait()
        sweep(os.getsid(0))
        childutils.listener.ok()


def sweep(session: int) -> None:
    """End each process of the session whose group has lost its leader, and its descendants."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) != session or psutil.pid_exists(os.getpgid(process.pid)):
                continue
            for orphan in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    orphan.kill()


if __name__ == "__main__":
    serve()
