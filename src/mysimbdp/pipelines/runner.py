"""Run tenant code in a child process of its own and take what it sends. Runs in the worker."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import msgspec
import numpy as np
import pyarrow as pa

from mysimbdp import errors
from mysimbdp.pipelines import feeder, launch, protocol, sandbox, verdict
from mysimbdp.pipelines.causes import Cause
from mysimbdp.pipelines.family import Family
from mysimbdp.pipelines.watchdog import Watchdog

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
    process = launch.start(request, job.environment, scratch)
    family.found(process.pid)
    exits.callback(process.wait)
    pacer = feeder.ScriptPacer(job.path, job.pace)
    watch = launch.watch(process, family, job.limits, exits, on_tick=pacer)
    launch.pass_log_on(process, listener.log, exits)
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
        process = launch.start(request, {}, scratch, (input_read, output_write))
    finally:
        os.close(input_read)
        os.close(output_write)
    family.found(process.pid)
    exits.callback(process.wait)
    watch = launch.watch(process, family, job.limits, exits)
    launch.pass_log_on(process, listener.log, exits)
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
