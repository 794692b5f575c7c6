"""One task for all: a CSV file that is to be in a collection, row for row."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pymongo

DATABASE = "bench"
COLLECTION = "taxi_trips"

_TEXTS = frozenset({"vendor_id", "store_and_fwd_flag", "note"})
_TIMES = frozenset({"pickup_datetime", "dropoff_datetime"})


@attrs.frozen(kw_only=True)
class Job:
    """Load `path` into a collection, each row as one document without its missing values."""

    path: Path
    rows: int
    url: str
    database: str = DATABASE
    collection: str = COLLECTION

    @property
    def size_bytes(self) -> int:
        """Tell the size of the file, which is what MB/s counts."""
        return self.path.stat().st_size


class NotMeasuredError(Exception):
    """A way could not be measured here; the message says why."""


class WrongResultError(Exception):
    """A way did not load what the file holds, so that its time means nothing."""


def drop(job: Job) -> None:
    """Empty the target, so that every run starts alike."""
    with pymongo.MongoClient(job.url) as client:
        client[job.database].drop_collection(job.collection)


def verify(job: Job) -> None:
    """Check the number of documents, and the first, the middle and the last row, value by value.

    Raises:
        WrongResultError: they are not what the file holds.

    """
    with pymongo.MongoClient(job.url, tz_aware=True) as client:
        collection = client[job.database][job.collection]
        found = collection.count_documents({})
        if found != job.rows:
            raise WrongResultError(f"{found} documents for {job.rows} rows")
        for row in _sampled_rows(job):
            trip_id = row["trip_id"]
            document = collection.find_one({"trip_id": {"$in": [trip_id, int(trip_id)]}})
            _compare(row, document)


def _sampled_rows(job: Job) -> Iterator[dict[str, str]]:
    wanted = {0, job.rows // 2, job.rows - 1}
    with job.path.open(newline="") as file:
        for number, row in enumerate(itertools.islice(csv.DictReader(file), job.rows)):
            if number in wanted:
                yield row


def _compare(row: dict[str, str], document: dict[str, Any] | None) -> None:
    if document is None:
        raise WrongResultError(f"no document has the trip_id {row['trip_id']}")
    for name, text in row.items():
        if (name in document) != bool(text):
            raise WrongResultError(f"{name} of trip {row['trip_id']} is missing in one of them")
        if text and not _is_same(name, text, document[name]):
            raise WrongResultError(
                f"{name} of trip {row['trip_id']} is {document[name]!r} instead of {text!r}"
            )


def _is_same(name: str, text: str, value: Any) -> bool:
    """Compare by meaning: numbers and times may be stored as such or as the text of the file."""
    if name in _TEXTS:
        return value == text
    if name in _TIMES:
        return _moment(value) == _moment(text)
    if name.endswith("_id"):
        return not isinstance(value, float) and int(value) == int(text)
    return math.isclose(float(value), float(text), rel_tol=1e-12)


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
