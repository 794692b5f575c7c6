"""Start a child process that sees nothing of the platform's, and pass on what it prints."""

from __future__ import annotations

import contextlib
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import IO

import msgspec
import psutil

from mysimbdp.pipelines.family import Family
from mysimbdp.pipelines.verdict import Limits
from mysimbdp.pipelines.watchdog import Watchdog

#: What a child may write to its standard output and error; the rest is dropped.
_MAX_LOG_BYTES = 1024 * 1024
_MAX_LINE_BYTES = 2000


def start(
    request: msgspec.Struct,
    environment: Mapping[str, str],
    scratch: str,
    descriptors: tuple[int, ...] = (),
    module: str = "mysimbdp.pipelines.child",
) -> subprocess.Popen[bytes]:
    """Start a child with an empty environment and no descriptor but its pipes.

    Standard input is a device on purpose: descriptor 0 of an Airflow task leads to its supervisor.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-m", module, msgspec.json.encode(request)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"HOME": scratch, "TMPDIR": scratch, "LANG": "C.UTF-8", **environment},
        cwd=scratch,
        close_fds=True,
        pass_fds=descriptors,
        start_new_session=True,
    )


def watch(
    process: subprocess.Popen[bytes],
    family: Family,
    limits: Limits,
    exits: contextlib.ExitStack,
    on_tick: Callable[[Family], None] | None = None,
) -> Watchdog:
    """Hold a child and its family to its limits until `exits` closes."""
    watchdog = Watchdog(
        psutil.Process(process.pid),
        family,
        memory_bytes=limits.memory_bytes,
        timeout_seconds=limits.timeout_seconds,
        on_tick=on_tick,
    )
    watchdog.start()
    exits.callback(watchdog.stop)
    return watchdog


def pass_log_on(
    process: subprocess.Popen[bytes],
    log: Callable[[str], None],
    exits: contextlib.ExitStack,
    *,
    refill_seconds: float = math.inf,
) -> None:
    """Hand over what the child prints, line by line and bounded, from a thread of its own.

    The bound is for so much time; by default for the child's whole life.
    """
    if process.stdout is None:  # pragma: no cover - always piped, the type does not know
        return
    reader = threading.Thread(
        target=_pass_lines,
        args=(process.stdout, log, refill_seconds),
        name="child-log",
        daemon=True,
    )
    reader.start()
    exits.callback(reader.join)


def _pass_lines(stream: IO[bytes], log: Callable[[str], None], refill_seconds: float) -> None:
    """Never block the child: what is too much is read and dropped."""
    with stream:
        kept_bytes, refilled_at = 0, time.monotonic()
        for line in _lines(stream):
            if time.monotonic() - refilled_at > refill_seconds:
                kept_bytes, refilled_at = 0, time.monotonic()
            kept_bytes += len(line)
            if kept_bytes <= _MAX_LOG_BYTES:
                log(line.decode(errors="replace").rstrip())


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(_MAX_LINE_BYTES):
        yield line
