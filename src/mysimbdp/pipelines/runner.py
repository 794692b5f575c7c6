"""Run tenant code in a child process of its own and take what it sends. Runs in the worker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO

import attrs
import msgspec
import numpy as np
import psutil
import pyarrow as pa

from mysimbdp import errors
from mysimbdp.pipelines import feeder, protocol, sandbox, verdict
from mysimbdp.pipelines.causes import Cause
from mysimbdp.pipelines.family import Family
from mysimbdp.pipelines.watchdog import Watchdog

#: What a child may write to its standard output and error; the rest is dropped.
_MAX_LOG_BYTES = 1024 * 1024
_MAX_LINE_BYTES = 2000
_FRAME_BUFFER_BYTES = 1024 * 1024
#: Time for a child to leave after its closing word.
_LEAVE_SECONDS = 5.0


@attrs.frozen(kw_only=True)
class Job:
    """One file and the code that is to ingest it.

    Attributes:
        request: the request to the child; descriptors and parent are filled in here.
        path: the claimed file.
        environment: what a script may know; empty for a managed callable.

    """

    request: protocol.Request
    path: Path
    environment: Mapping[str, str]
    limits: verdict.Limits
    bytes_per_second: int
    pace: feeder.Pace


@attrs.frozen(kw_only=True)
class Listener:
    """Who takes what the child sends."""

    documents: Callable[[np.ndarray[Any, Any], pa.LargeBinaryArray], None]
    rejects: Callable[[list[protocol.RejectedRow]], None]
    log: Callable[[str], None]


@attrs.frozen(kw_only=True)
class Completed:
    """A child that came to its end as the contract says; `end` is None for a script."""

    end: protocol.End | None
    read_bytes: int
    peak_memory_bytes: int


def run(job: Job, listener: Listener) -> Completed:
    """Start the child, pass on what it sends, and judge how it ended.

    Nothing of the child is left when this returns or raises. Called from a process's main thread:
    the child dies with the thread that started it.

    Raises:
        IngestionFailedError: with `facts["cause"]`, a `Cause`.
        IngestionInterruptedError: somebody else killed the child.

    """
    sandbox.adopt_orphans()
    family = Family()
    with (
        tempfile.TemporaryDirectory(prefix="mysimbdp-") as scratch,
        contextlib.ExitStack() as exits,
    ):
        run_child = _run_script if job.request.is_script else _run_callable
        try:
            return run_child(job, listener, family, scratch, exits)
        finally:
            family.end()  # before the threads are joined: they may wait for a member


def _run_script(
    job: Job, listener: Listener, family: Family, scratch: str, exits: contextlib.ExitStack
) -> Completed:
    request = msgspec.structs.replace(
        job.request, parent=os.getpid(), arguments=(str(job.path), *job.request.arguments)
    )
    process = _start(request, job.environment, scratch, ())
    family.found(process.pid)
    exits.callback(process.wait)
    pacer = feeder.ScriptPacer(job.path, job.pace)
    watch = _watch(process, family, job, exits, on_tick=pacer)
    _pass_log_on(process, listener.log, exits)
    process.wait()
    watch.stop()
    verdict.check_end(process.returncode, watch.verdict, job.limits, Cause.SCRIPT_ERROR)
    pacer.charge_rest()
    return Completed(
        end=None, read_bytes=pacer.sent_bytes, peak_memory_bytes=watch.peak_memory_bytes
    )


def _run_callable(
    job: Job, listener: Listener, family: Family, scratch: str, exits: contextlib.ExitStack
) -> Completed:
    (input_read, input_write), (output_read, output_write) = os.pipe(), os.pipe()
    frames = exits.enter_context(os.fdopen(output_read, "rb", buffering=_FRAME_BUFFER_BYTES))
    feed = feeder.Feeder(
        job.path, input_write, pace=job.pace, bytes_per_second=job.bytes_per_second
    )
    exits.callback(feed.finish)
    request = msgspec.structs.replace(
        job.request,
        parent=os.getpid(),
        input_descriptor=input_read,
        output_descriptor=output_write,
    )
    try:
        process = _start(request, {}, scratch, (input_read, output_write))
    finally:
        os.close(input_read)
        os.close(output_write)
    family.found(process.pid)
    exits.callback(process.wait)
    watch = _watch(process, family, job, exits)
    _pass_log_on(process, listener.log, exits)
    feed.start()
    try:
        end = _listen(frames, listener, process, watch, job)
    except errors.IngestionFailedError:
        _raise_if_cut(feed, job)  # a file that was cut on the way here is not the tenant's fault
        raise
    _raise_if_cut(feed, job)
    watch.stop()
    return Completed(end=end, read_bytes=feed.sent_bytes, peak_memory_bytes=watch.peak_memory_bytes)


def _raise_if_cut(feed: feeder.Feeder, job: Job) -> None:
    if feed.error is not None:
        raise errors.IngestionInterruptedError(
            f"{job.path.name} could not be read to its end: {feed.error}."
        ) from feed.error


def _start(
    request: protocol.Request,
    environment: Mapping[str, str],
    scratch: str,
    descriptors: tuple[int, ...],
) -> subprocess.Popen[bytes]:
    """Start the child with an empty environment and no descriptor but its pipes.

    Standard input is a device on purpose: descriptor 0 of an Airflow task leads to its supervisor.
    """
    return subprocess.Popen(
        [
            sys.executable,
            "-I",
            "-B",
            "-m",
            "mysimbdp.pipelines.child",
            msgspec.json.encode(request),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"HOME": scratch, "TMPDIR": scratch, "LANG": "C.UTF-8", **environment},
        cwd=scratch,
        close_fds=True,
        pass_fds=descriptors,
        start_new_session=True,
    )


def _watch(
    process: subprocess.Popen[bytes],
    family: Family,
    job: Job,
    exits: contextlib.ExitStack,
    on_tick: Callable[[Family], None] | None = None,
) -> Watchdog:
    watch = Watchdog(
        psutil.Process(process.pid),
        family,
        memory_bytes=job.limits.memory_bytes,
        timeout_seconds=job.limits.timeout_seconds,
        on_tick=on_tick,
    )
    watch.start()
    exits.callback(watch.stop)
    return watch


def _listen(
    frames: BinaryIO,
    listener: Listener,
    process: subprocess.Popen[bytes],
    watch: Watchdog,
    job: Job,
) -> protocol.End:
    """Take frames until the closing word, or find out why there is none."""
    complaint = "The code ended without the child's closing message."
    try:
        for kind, payload in protocol.read_frames(frames):
            if kind is protocol.Kind.DOCUMENTS:
                listener.documents(*protocol.unpack_documents(payload))
            elif kind is protocol.Kind.REJECTS:
                listener.rejects(protocol.decode(payload, list[protocol.RejectedRow]))
            elif kind is protocol.Kind.FAILURE:
                failure = protocol.decode(payload, protocol.Failure)
                raise verdict.failed(verdict.known_cause(failure.cause), failure.message)
            else:
                _let_go(process)
                return protocol.decode(payload, protocol.End)
    except protocol.BadOutputError as error:
        complaint = str(error)
    has_left = _let_go(process)
    watch.stop()
    exit_code = process.returncode if has_left else 0
    verdict.check_end(exit_code, watch.verdict, job.limits, Cause.CRASH)
    raise verdict.failed(Cause.BAD_OUTPUT, complaint)


def _let_go(process: subprocess.Popen[bytes]) -> bool:
    """Wait a moment for the child to leave by itself, and tell whether it did."""
    try:
        process.wait(_LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _pass_log_on(
    process: subprocess.Popen[bytes], log: Callable[[str], None], exits: contextlib.ExitStack
) -> None:
    if process.stdout is None:  # pragma: no cover - always piped, the type does not know
        return
    reader = threading.Thread(
        target=_pass_lines, args=(process.stdout, log), name="child-log", daemon=True
    )
    reader.start()
    exits.callback(reader.join)


def _pass_lines(stream: IO[bytes], log: Callable[[str], None]) -> None:
    """Hand over what the child prints, line by line and bounded; never block the child."""
    with stream:
        kept_bytes = 0
        for line in _lines(stream):
            kept_bytes += len(line)
            if kept_bytes <= _MAX_LOG_BYTES:
                log(line.decode(errors="replace").rstrip())


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    while line := stream.readline(_MAX_LINE_BYTES):
        yield line
