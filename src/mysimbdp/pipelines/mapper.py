"""The instance's side of its child: batches of messages out, documents in.

One thread sends and one receives, so that the child has the next batch when it is done with one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import BinaryIO, NoReturn

import attrs
import pyarrow as pa

from mysimbdp.pipelines import launch, protocol, sandbox, stream_protocol, verdict
from mysimbdp.pipelines.causes import Cause
from mysimbdp.pipelines.family import Family
from mysimbdp.pipelines.stream_protocol import BatchEnd, Documents, Rejected, StreamRequest

_FRAME_BUFFER_BYTES = 1024 * 1024
_LEAVE_SECONDS = 5.0
_LOG_REFILL_SECONDS = 3600.0


@attrs.frozen(kw_only=True)
class Code:
    """The tenant's function and what it may take.

    Attributes:
        timeout_seconds: for one batch; None means no limit.

    """

    folder: str
    entry: str
    batch: str
    keys: dict[str, str | None]
    limits: verdict.Limits


@attrs.frozen(kw_only=True)
class Mapped:
    """What the tenant's function made of one batch."""

    documents: tuple[Documents, ...]
    rejects: tuple[Rejected, ...]


class Mapper:
    """A running child; `send` and `receive` are each for one thread.

    Raises:
        IngestionFailedError: from `receive`, with `facts["cause"]`: the child broke the contract or
            a limit, or ended.
        IngestionInterruptedError: somebody else killed it.

    """

    def __init__(self, code: Code, log: Callable[[str], None]) -> None:
        self._code = code
        self._exits = contextlib.ExitStack()
        self._batch_began: float | None = None
        sandbox.adopt_orphans()
        self._family = Family()
        try:
            self._start(log)
        except BaseException:
            self.close()
            raise

    def _start(self, log: Callable[[str], None]) -> None:
        scratch = self._exits.enter_context(tempfile.TemporaryDirectory(prefix="mysimbdp-"))
        (input_read, input_write), (output_read, output_write) = os.pipe(), os.pipe()
        self._frames: BinaryIO = self._exits.enter_context(
            os.fdopen(output_read, "rb", buffering=_FRAME_BUFFER_BYTES)
        )
        self._input: BinaryIO = os.fdopen(input_write, "wb")
        request = StreamRequest(
            folder=self._code.folder,
            entry=self._code.entry,
            batch=self._code.batch,
            keys=self._code.keys,
            input_descriptor=input_read,
            output_descriptor=output_write,
            memory_bytes=self._code.limits.memory_bytes,
            parent=os.getpid(),
        )
        try:
            self._process = launch.start(
                request,
                {},
                scratch,
                (input_read, output_write),
                module="mysimbdp.pipelines.stream_child",
            )
        finally:
            os.close(input_read)
            os.close(output_write)
        self._family.found(self._process.pid)
        self._exits.callback(self._process.wait)
        self._exits.callback(self._family.end)
        whole_life = attrs.evolve(self._code.limits, timeout_seconds=None)
        self._watch = launch.watch(
            self._process, self._family, whole_life, self._exits, on_tick=self._check_batch
        )
        launch.pass_log_on(self._process, log, self._exits, refill_seconds=_LOG_REFILL_SECONDS)

    @property
    def peak_memory_bytes(self) -> int:
        """Return the most that the child and its family were seen to hold."""
        return self._watch.peak_memory_bytes

    def send(self, packed: pa.Buffer) -> None:
        """Give the child a batch, packed; a child that is gone is noticed by `receive`."""
        with contextlib.suppress(BrokenPipeError):
            protocol.write_frame(self._input, protocol.Kind.MESSAGES, packed)
            self._input.flush()

    def receive(self, count: int) -> Mapped:
        """Take the answer to the oldest batch that is not answered yet, of `count` messages."""
        self._batch_began = time.monotonic()
        try:
            return self._receive(count)
        except protocol.BadOutputError as error:
            self._raise_ended(str(error))
        finally:
            self._batch_began = None

    def _receive(self, count: int) -> Mapped:
        documents: list[Documents] = []
        rejects: list[Rejected] = []
        for kind, payload in protocol.read_frames(self._frames):
            if kind is protocol.Kind.DOCUMENTS:
                documents.append(stream_protocol.unpack_documents(payload))
            elif kind is protocol.Kind.REJECTS:
                rejects += protocol.decode(payload, list[Rejected])
            elif kind is protocol.Kind.FAILURE:
                failure = protocol.decode(payload, protocol.Failure)
                raise verdict.failed(verdict.known_cause(failure.cause), failure.message)
            else:
                _check(count, documents, rejects, protocol.decode(payload, BatchEnd), self._code)
                return Mapped(documents=tuple(documents), rejects=tuple(rejects))
        raise protocol.BadOutputError("The code ended in the middle of a batch.")

    def _check_batch(self, family: Family) -> None:
        """End the family when a batch takes too long. Called by the watchdog every tick."""
        began, limit = self._batch_began, self._code.limits.timeout_seconds
        if limit is not None and began is not None and time.monotonic() - began > limit:
            self._watch.verdict = Cause.TIMEOUT
            family.end()

    def _raise_ended(self, complaint: str) -> NoReturn:
        has_left = True
        try:
            self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            has_left = False
        broken = self._watch.verdict
        self._watch.stop()
        exit_code = self._process.returncode if has_left else 0
        verdict.check_end(exit_code, broken or self._watch.verdict, self._code.limits, Cause.CRASH)
        raise verdict.failed(Cause.BAD_OUTPUT, complaint)

    def close(self) -> None:
        """End the child and everything it started; nothing of it is left afterwards."""
        self._family.end()  # first: threads may wait for a child that never answers
        with contextlib.suppress(BrokenPipeError, AttributeError):
            self._input.close()
        self._exits.close()


def _check(
    count: int,
    documents: list[Documents],
    rejects: list[Rejected],
    end: BatchEnd,
    code: Code,
) -> None:
    """Check the child's account of a batch; it is tenant code that speaks.

    Raises:
        BadOutputError: it does not add up.

    """
    refused = {reject.index for reject in rejects}
    if end.messages != count or end.kept != count - len(refused) or len(refused) != len(rejects):
        raise protocol.BadOutputError(
            f"The child was given {count} messages and accounts for {end.messages}, of which it "
            f"keeps {end.kept} and rejects {len(rejects)}."
        )
    if any(not 0 <= index < count for index in refused):
        raise protocol.BadOutputError("The child rejects a message that it was not given.")
    for part in documents:
        rows = part.rows
        if part.collection not in code.keys or part.is_keyed != bool(code.keys[part.collection]):
            raise protocol.BadOutputError(
                f"The child sent documents for {part.collection}, which is not registered so."
            )
        if len(rows) and not (rows.min() >= 0 and rows.max() < count):
            raise protocol.BadOutputError("The child sent a document of no message.")
        if not part.is_keyed and len(set(rows.tolist())) != len(rows):
            raise protocol.BadOutputError("The child sent two documents of one message.")
