"""Where the documents of a stream app go: the tenant's database, or JSON files."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import attrs
import numpy as np

from mysimbdp import naming
from mysimbdp.pipelines.stream_protocol import Documents
from mysimbdp.sinks.files import FileSink
from mysimbdp.sinks.stream import StreamSink
from mysimbdp.streaming.batch import Batch, Partition

_MOST_RAW_BYTES = 1000


class Store(Protocol):
    """A kind of sink. Called by the instance's threads.

    Attributes:
        in_order: batches have to be stored one after the other.

    """

    @property
    def in_order(self) -> bool:
        """Tell whether a batch has to wait for the one before."""

    def begin(self, partition: Partition, topic_id: str, key: bytes, start: int) -> None:
        """Get ready for a partition that is read from `start` on."""

    def end(self, partition: Partition) -> None:
        """Let go of a partition that another instance reads now."""

    def store(
        self, batch: Batch, identities: np.ndarray[Any, Any], part: Documents
    ) -> dict[int, str]:
        """Store one collection's documents durably; return the rows that are refused."""

    def reject(
        self, batch: Batch, identities: np.ndarray[Any, Any], rejects: dict[int, str]
    ) -> None:
        """Keep rejected messages with their reasons, durably."""


@attrs.frozen(kw_only=True)
class CoredmsStore:
    """The tenant's database, with the tenant's login."""

    tenant: str
    app: str
    sink: StreamSink
    keys: Mapping[str, str | None]

    @property
    def in_order(self) -> bool:
        """Tell whether documents replace earlier ones."""
        return any(self.keys.values())

    def begin(self, partition: Partition, topic_id: str, key: bytes, start: int) -> None:  # noqa: ARG002
        """Take back rejects of messages that are read again: they may be stored this time."""
        self.sink.forget_rejects(key, start)

    def end(self, partition: Partition) -> None:
        """Do nothing: a database has no owner."""

    def store(
        self, batch: Batch, identities: np.ndarray[Any, Any], part: Documents
    ) -> dict[int, str]:
        """Insert documents, or replace keyed ones."""
        del batch
        if part.is_keyed:
            return self.sink.replace(part.collection, part.rows, part.documents)
        return self.sink.insert(part.collection, identities, part.rows, part.documents)

    def reject(
        self, batch: Batch, identities: np.ndarray[Any, Any], rejects: dict[int, str]
    ) -> None:
        """Keep rejected messages in the tenant's reject collection."""
        described = {
            row: _describe(batch, row, reason, self.tenant, self.app)
            for row, reason in rejects.items()
        }
        self.sink.reject(identities, described, list(self.keys))


class FileStore:
    """JSON lines on disk, a file a partition and collection; rejects go to the tenant's database.

    Args:
        folder: the app's folder of exports.
        rejects: where rejected messages go.

    """

    in_order = True

    def __init__(self, folder: Path, rejects: CoredmsStore) -> None:
        self._folder, self._rejects = folder, rejects
        self._lock = threading.Lock()
        self._topic_ids: dict[Partition, str] = {}
        self._files: dict[tuple[Partition, str], FileSink] = {}

    def begin(self, partition: Partition, topic_id: str, key: bytes, start: int) -> None:
        """Note the topic's id; the files are opened when there is something for them."""
        self._topic_ids[partition] = topic_id
        self._rejects.begin(partition, topic_id, key, start)

    def end(self, partition: Partition) -> None:
        """Close the partition's files, so that another instance may open them."""
        with self._lock:
            for one in [one for one in self._files if one[0] == partition]:
                self._files.pop(one).close()

    def store(
        self, batch: Batch, identities: np.ndarray[Any, Any], part: Documents
    ) -> dict[int, str]:
        """Append documents, in the order of their offsets."""
        del identities
        places = batch.places[part.rows]
        for place in np.unique(places):
            of_place = np.flatnonzero(places == place)
            offsets = batch.offsets[part.rows[of_place]]
            ordered = of_place[np.argsort(offsets)]
            documents = part.documents.take(ordered).to_pylist()
            with self._lock:
                file = self._file(batch.partitions[int(place)], part.collection)
                file.append(zip(np.sort(offsets).tolist(), documents, strict=True))
        return {}

    def reject(
        self, batch: Batch, identities: np.ndarray[Any, Any], rejects: dict[int, str]
    ) -> None:
        """Keep rejected messages in the tenant's reject collection."""
        self._rejects.reject(batch, identities, rejects)

    def _file(self, partition: Partition, collection: str) -> FileSink:
        if (partition, collection) not in self._files:
            topic = partition.topic.removeprefix(naming.kafka_prefix(self._rejects.tenant))
            self._files[partition, collection] = FileSink(
                self._folder,
                collection,
                f"{topic}-{partition.number}",
                topic_id=self._topic_ids[partition],
            )
        return self._files[partition, collection]


def _describe(batch: Batch, row: int, reason: str, tenant: str, app: str) -> dict[str, Any]:
    """Say of a rejected message where it stands, why it is rejected, and how it begins."""
    partition = batch.partitions[int(batch.places[row])]
    value = batch.values[row]
    return {
        "app": app,
        "topic": partition.topic.removeprefix(naming.kafka_prefix(tenant)),
        "partition": partition.number,
        "offset": int(batch.offsets[row]),
        "reason": reason,
        "raw": None if value is None else value[:_MOST_RAW_BYTES].decode(errors="replace"),
        "rejected_at": datetime.now(UTC),
    }
