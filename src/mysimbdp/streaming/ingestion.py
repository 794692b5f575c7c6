"""What an instance does for a managed callable: read, map, store, commit, in this order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from mysimbdp import errors, naming
from mysimbdp.ledger import Ledger
from mysimbdp.pipelines import verdict
from mysimbdp.pipelines.causes import Cause as BatchCause
from mysimbdp.pipelines.mapper import Code, Mapped, Mapper
from mysimbdp.pipelines.protocol import BadOutputError
from mysimbdp.pipelines.registration import StreamApp
from mysimbdp.pipelines.verdict import Limits
from mysimbdp.sinks import ids
from mysimbdp.streaming import batch as batches
from mysimbdp.streaming import checkpoint
from mysimbdp.streaming.batch import Batch, Partition
from mysimbdp.streaming.causes import Cause, stopped
from mysimbdp.streaming.checkpoint import CheckpointStore, Found
from mysimbdp.streaming.flow import Flow
from mysimbdp.streaming.meter import Meter
from mysimbdp.streaming.progress import Progress
from mysimbdp.streaming.source import Source
from mysimbdp.streaming.stores import Store
from mysimbdp.streaming.topic_watch import TopicWatch

_COMMIT_SECONDS = 1.0
_FULL_SECONDS = 2.0
#: What is under way is finished within this when the instance ends or gives partitions away.
DRAIN_SECONDS = 20.0
_RETRY_SECONDS = 1.0
#: A topic may be a moment younger than its registration.
_TOPIC_PATIENCE_SECONDS = 15.0

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Task:
    """What an instance is to ingest, and with what."""

    tenant: str
    app: str
    registered: StreamApp
    folder: str
    memory_bytes: int
    kafka: dict[str, str]
    ledger: Ledger
    checkpoints: CheckpointStore
    store: Store
    log: Callable[[str], None]


class Ingestion:
    """One instance at work. `run` is for the main thread; `stop`, `state` and `lag` for any.

    Raises:
        StreamStoppedError: from `run`: something has to be changed first.
        IngestionFailedError: from `run`: the tenant's code ended, or broke a limit.

    """

    def __init__(self, task: Task, meter: Meter) -> None:
        self._task, self._meter = task, meter
        self._stop = threading.Event()
        self._progress = Progress()
        self._keys: dict[Partition, bytes] = {}
        self._flow: Flow | None = None
        self._watch: TopicWatch | None = None
        self._committed_at = time.monotonic()
        self._lag: int | None = None
        self._partitions: list[Partition] = []
        self._has_joined = False
        self._is_over = False
        registered = task.registered
        self._source = Source(
            task.kafka,
            naming.consumer_group(task.tenant, registered.group or task.app),
            [naming.topic(task.tenant, topic) for topic in registered.topics],
            on_assigned=self._begin,
            on_revoked=self._hand_over,
            on_lost=self._lose,
        )

    @property
    def state(self) -> str:
        """Tell in a word how it stands."""
        if self._stop.is_set():
            return "draining"
        if not self._has_joined:
            return "starting"
        waits = self._flow is not None and self._flow.waits_for_server
        return "waiting" if waits or not self._source.is_reachable else "running"

    @property
    def partitions(self) -> tuple[str, ...]:
        """Name the partitions that are read, without the tenant's prefix."""
        prefix = naming.kafka_prefix(self._task.tenant)
        return tuple(f"{topic.removeprefix(prefix)}/{number}" for topic, number in self._partitions)

    @property
    def lag(self) -> int | None:
        """Count the messages that wait, as of the last second."""
        return self._lag

    def stop(self) -> None:
        """Ask for an end in order."""
        self._stop.set()

    def run(self) -> None:
        """Ingest until asked to stop; then finish what was taken, commit, and leave the group."""
        code = self._code()
        mapper = Mapper(code, self._task.log)
        in_order = self._task.store.in_order
        self._flow = Flow(mapper, self._store, self._progress, in_order=in_order)
        try:
            self._join()
            self._watch = TopicWatch(self._check_topics)
            self._read()
            self._finish()
        finally:
            self._is_over = True
            self._flow.end()
            if self._watch is not None:
                self._watch.end()
            self._source.close()

    def _code(self) -> Code:
        app = self._task.registered
        timeout = app.resources.timeout
        return Code(
            folder=self._task.folder,
            entry=app.callable or "",
            batch=app.batch,
            keys={name: target.key for name, target in app.collections.items()},
            limits=Limits(
                memory_bytes=self._task.memory_bytes,
                timeout_seconds=None if timeout is None else timeout.seconds,
            ),
        )

    def _join(self) -> None:
        """Join the group as soon as Kafka answers."""
        began = time.monotonic()
        while not self._stop.is_set():
            try:
                self._source.subscribe()
            except errors.ServiceUnavailableError as error:
                _log.warning("%s", error)
            except errors.TerminalError as error:
                is_new = time.monotonic() - began < _TOPIC_PATIENCE_SECONDS
                if error.facts.get("cause") is not Cause.TOPIC_MISSING or not is_new:
                    raise
            else:
                return
            self._stop.wait(_RETRY_SECONDS)

    def _read(self) -> None:
        whole = self._task.registered.batch == "messages"
        most = self._task.registered.max_batch_messages
        while not self._stop.is_set():
            messages = self._source.take(most)
            self._look_around()
            if messages:
                batch = batches.make(messages, tenant=self._task.tenant, whole=whole)
                self._source.advance(batch.ends())
                self._pass_on(batch)

    def _pass_on(self, batch: Batch) -> None:
        """Hand a batch over; while there is no room, stay in the group without reading."""
        flow = self._flow
        assert flow is not None  # noqa: S101 - `run` made it
        while not flow.offer(batch, _FULL_SECONDS):
            self._source.rest()
            self._look_around()
            if self._stop.is_set():
                return
        self._source.go_on()

    def _look_around(self) -> None:
        """Raise what went wrong elsewhere, commit when it is time, look at the lag."""
        for worker in (self._watch, self._flow):
            if worker is not None and worker.failure is not None:
                raise worker.failure
        ratio = self._meter.reject_ratio()
        tolerated = self._task.registered.max_reject_ratio
        if ratio > tolerated:
            self._commit()
            raise stopped(
                Cause.TOO_MANY_REJECTS,
                f"{ratio:.1%} of the latest messages were rejected; registered as tolerable: "
                f"{tolerated:.1%}. The reasons are in the collection rejects. Correct the code or "
                "the messages, then start the app again.",
            )
        if time.monotonic() - self._committed_at >= _COMMIT_SECONDS:
            self._commit()

    def _commit(self) -> None:
        """Note how far it is; what cannot be noted now is noted later."""
        self._committed_at = time.monotonic()
        self._lag, self._partitions = self._source.lag(), self._source.partitions()
        positions = self._progress.positions()
        try:
            self._task.checkpoints.write(positions, self._source.topics.ids)
            self._source.commit(positions)
        except errors.ServiceUnavailableError as error:
            self._progress.give_back(positions)
            _log.warning("%s", error)

    def _finish(self) -> None:
        """Finish what was taken; with a server away, the next instance reads it again."""
        if not self._progress.await_empty(DRAIN_SECONDS):
            _log.warning("not all messages could be stored in time; they are read again")
        self._commit()

    def _store(self, batch: Batch, mapped: Mapped) -> None:
        """Store one batch, its rejects too. Runs in the flow's threads."""
        keys = np.frombuffer(
            b"".join(self._keys[partition] for partition in batch.partitions), dtype=np.uint8
        ).reshape(-1, ids.KEY_BYTES)
        identities = ids.make_ids(keys[batch.places], batch.offsets)
        rejects = {reject.index: reject.reason for reject in mapped.rejects}
        if self._watch is not None:
            self._watch.confirm(batch.taken_at)
        try:
            for part in mapped.documents:
                rejects |= self._task.store.store(batch, identities, part)
        except BadOutputError as error:
            raise verdict.failed(BatchCause.BAD_OUTPUT, str(error)) from error
        if rejects:
            self._task.store.reject(batch, identities, rejects)
        self._meter.add(batch.timestamps, batch.size_bytes, len(rejects))

    def _check_topics(self) -> None:
        self._source.topics.check()
        self._source.is_reachable = True

    def _begin(self, found: Mapping[Partition, Found]) -> dict[Partition, int]:
        """Say where new partitions are read on."""
        known = self._task.checkpoints.read()
        starts = {
            partition: checkpoint.choose_start(partition, known.get(partition), now)
            for partition, now in found.items()
        }
        for partition, start in starts.items():
            key = self._key(partition, found[partition].topic_id)
            self._keys[partition] = key
            self._task.store.begin(partition, found[partition].topic_id, key, start)
        # From now on the topic is known by its id, also if nothing is ever read of it.
        self._task.checkpoints.write(starts, {one.topic: found[one].topic_id for one in starts})
        self._has_joined = True
        return starts

    def _key(self, partition: Partition, topic_id: str) -> bytes:
        """Return the key that the ids of a partition's documents begin with."""
        return self._task.ledger.key(
            {
                "tenant": self._task.tenant,
                "pipeline": f"{self._task.app}.stream",
                "sha256": f"{topic_id}/{partition.number}",
                "name": partition.topic,
            }
        )

    def _hand_over(self, partitions: Sequence[Partition]) -> None:
        """Finish what is under way, so that the next owner begins after it."""
        if not self._is_over and self._progress.await_empty(DRAIN_SECONDS):
            self._commit()
        self._lose(partitions)

    def _lose(self, partitions: Sequence[Partition]) -> None:
        self._progress.drop(partitions)
        for partition in partitions:
            self._task.store.end(partition)
