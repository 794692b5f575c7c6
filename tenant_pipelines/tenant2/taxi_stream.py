"""Taxi trips, one CSV line a message: from flat text to documents with the places in a group."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import Any

from mysimbdp import sdk

Record = dict[str, Any]

COLUMNS = (
    *("trip_id", "vendor_id", "pickup_datetime", "dropoff_datetime", "passenger_count"),
    *("trip_distance", "rate_code", "store_and_fwd_flag", "pickup_location_id"),
    *("dropoff_location_id", "payment_type", "fare_amount", "tip_amount", "total_amount", "note"),
)
#: All other values stay text: vendor 00123 is not 123.
NUMBERS = {
    **dict.fromkeys(("trip_id", "passenger_count", "rate_code", "payment_type"), int),
    **dict.fromkeys(("trip_distance", "fare_amount", "tip_amount", "total_amount"), float),
}
PLACES = ("pickup", "dropoff")


def ingest(lines: list[str]) -> dict[str, list[Record | sdk.Reject]]:
    """Turn each line into a document; one that is no trip is rejected."""
    return {"taxi_streamed": [_document(line) for line in lines]}


def _document(line: str) -> Record | sdk.Reject:
    values = next(csv.reader([line], strict=True), [])
    if len(values) != len(COLUMNS):
        return sdk.Reject(f"{len(values)} values, not {len(COLUMNS)}")
    row = {name: value for name, value in zip(COLUMNS, values, strict=True) if value}
    try:
        trip = {name: _typed(name, value) for name, value in row.items() if not _is_place(name)}
        trip["location"] = {place: _place(row, place) for place in PLACES}
    except (KeyError, ValueError) as error:
        return sdk.Reject(f"not a trip: {error}")
    if trip.get("fare_amount", 0) < 0:
        return sdk.Reject(f"negative fare: {trip['fare_amount']}")
    return trip


def _is_place(name: str) -> bool:
    return name.startswith(PLACES)


def _typed(name: str, value: str) -> Any:
    return NUMBERS.get(name, str)(value)


def _place(row: Record, place: str) -> Record:
    at = datetime.fromisoformat(row[f"{place}_datetime"])
    return {"id": int(row[f"{place}_location_id"]), "at": at.replace(tzinfo=UTC)}
