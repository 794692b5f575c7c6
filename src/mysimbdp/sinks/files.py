"""Stream documents as JSON lines on disk, one file a partition, each document once.

The offset in the last whole line says how far the file has come; what was cut off by the end of a
process is cut away when the file is opened again, and its message is read again. A file that is
full takes the name `<topic>-<partition>.<topic id>.<first offset>-<last offset>.jsonl`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bson
from bson import json_util
from bson.codec_options import CodecOptions

from mysimbdp import errors
from mysimbdp.sinks import line_file

MAX_FILE_BYTES = 256 * 2**20
#: Longer than an instance that has lost its partition needs to find that out.
OWNER_SECONDS = 30.0
_NOTHING = -1
_FILE_MODE = 0o640
_JSON = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED, tz_aware=True, tzinfo=UTC, document_class=dict
)
_BSON: CodecOptions[Mapping[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)

Document = Mapping[str, Any] | bytes


class FileSink:
    """The file of one partition and collection; nobody else writes to it while this is open.

    Args:
        folder: the app's folder of exports.
        topic_partition: `<topic>-<partition>`, without the tenant's prefix.
        topic_id: a topic that was made again has another one, and its documents another file.
        owner_seconds: how long to wait for another process that still has it.

    Attributes:
        last_offset: the offset of the last document stored; -1 before the first.

    Raises:
        ServiceUnavailableError: another process keeps the file, or the disk does not take it.

    """

    def __init__(
        self,
        folder: Path,
        collection: str,
        topic_partition: str,
        *,
        topic_id: str,
        max_file_bytes: int = MAX_FILE_BYTES,
        owner_seconds: float = OWNER_SECONDS,
    ) -> None:
        self._folder = folder / collection
        self._name = topic_partition
        self._topic_id = topic_id
        self._identity = f"{topic_id}-{topic_partition.rpartition('-')[2]}"
        self._max_file_bytes = max_file_bytes
        self._file: int | None = None
        self._lock: int | None = None
        self.last_offset = _NOTHING
        with line_file.translated(self.path):
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = self._lock = os.open(
                self._folder / f".{self._name}.lock", os.O_CREAT | os.O_RDWR, _FILE_MODE
            )
        try:
            line_file.take(lock, self.path, owner_seconds)
            with line_file.translated(self.path):
                self._open()
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> Path:
        """Name the file that is written to."""
        return self._folder / f"{self._name}.jsonl"

    def append(self, documents: Iterable[tuple[int, Document]]) -> int:
        """Add documents of ascending offsets, those not yet stored; return how many.

        What is stored when this returns survives a power cut.

        Raises:
            ServiceUnavailableError: the disk does not take them; none of them is stored.
            ValueError: the offsets do not ascend.

        """
        lines, last = [], _NOTHING
        for offset, document in documents:
            if offset <= last:
                raise ValueError(f"offset {offset} of {self._identity} comes after {last}")
            last = offset
            if offset > self.last_offset:
                lines.append(self._line(offset, document))
        if lines:
            with line_file.translated(self.path):
                self._write(b"".join(lines))
                self.last_offset = last
                if self._size_bytes >= self._max_file_bytes:
                    self._rotate()
        return len(lines)

    def close(self) -> None:
        """Let go of the file; another process may take it."""
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._file = self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _line(self, offset: int, document: Document) -> bytes:
        fields = bson.decode(document, _BSON) if isinstance(document, bytes) else document
        line = {"_id": f"{self._identity}-{offset}"}
        line |= {name: value for name, value in fields.items() if name != "_id"}
        return json_util.dumps(line, json_options=_JSON).encode() + b"\n"

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_CREAT | os.O_RDWR, _FILE_MODE)
        line_file.sync_folder(self._folder)
        self._size_bytes = line_file.cut_torn_line(self._file)
        if self._size_bytes == 0:
            self.last_offset = self._last_rotated()
            return
        identity, self.last_offset = _parse(
            line_file.last_line(self._file, self._size_bytes), self.path
        )
        if identity != self._identity:  # of a topic that is no more
            self._rotate()

    def _write(self, data: bytes) -> None:
        file, view = self._descriptor(), memoryview(data)
        try:
            while view:
                view = view[os.pwrite(file, view, self._size_bytes + len(data) - len(view)) :]
            os.fsync(file)
        except OSError:
            os.ftruncate(file, self._size_bytes)
            raise
        self._size_bytes += len(data)

    def _rotate(self) -> None:
        """Put the file aside and begin the next one."""
        file = self._descriptor()
        with os.fdopen(os.dup(file), "rb") as whole:
            whole.seek(0)
            identity, first = _parse(whole.readline(), self.path)
        topic_id = identity.rpartition("-")[0]
        os.close(file)
        self._file = None
        name = f"{self._name}.{topic_id}.{first:019}-{self.last_offset:019}.jsonl"
        self.path.rename(self._folder / name)
        self._open()

    def _last_rotated(self) -> int:
        names = [path.stem for path in self._folder.glob(f"{self._name}.{self._topic_id}.*.jsonl")]
        return max((int(name.rpartition("-")[2]) for name in names), default=_NOTHING)

    def _descriptor(self) -> int:
        if self._lock is None:
            raise errors.ServiceUnavailableError(f"{self.path} is closed.")
        if self._file is None:  # it could not be put aside or opened the last time
            self._open()
        return self._file or 0


def _parse(line: bytes, path: Path) -> tuple[str, int]:
    """Read topic id, partition and offset from a line.

    Raises:
        TerminalError: this is not a line of ours; what it is must not be overwritten.

    """
    try:
        identity, _, offset = json.loads(line)["_id"].rpartition("-")
        return str(identity), int(offset)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.TerminalError(
            f"{path} does not end with a line of this platform, which begins with an _id of topic, "
            "partition and offset. Move the file away, and the export goes on with a new one."
        ) from error
