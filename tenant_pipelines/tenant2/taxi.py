"""Taxi trips, record by record: from flat rows to nested documents, with bad rows refused."""

from __future__ import annotations

from typing import Any

from mysimbdp import sdk

Record = dict[str, Any]

PLACES = ("pickup", "dropoff")
DETAILS = {"location_id": "id", "datetime": "at"}


def ingest(records: list[Record]) -> list[Record | sdk.Reject]:
    """Turn each row into a document; a row that must not be stored becomes a `Reject`."""
    return [_document(record) for record in records]


def _document(record: Record) -> Record | sdk.Reject:
    # A missing value is not in the record at all.
    if record.get("fare_amount", 0) < 0:
        return sdk.Reject(f"negative fare: {record['fare_amount']}")
    document = {name: value for name, value in record.items() if not name.startswith(PLACES)}
    document["location"] = {place: _details(record, place) for place in PLACES}
    return document


def _details(record: Record, place: str) -> Record:
    columns = {f"{place}_{suffix}": name for suffix, name in DETAILS.items()}
    return {name: record[column] for column, name in columns.items() if column in record}
