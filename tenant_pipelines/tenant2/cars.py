"""Cars from JSON, an array or one object a line: names in lower case, the year as a date."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Record = dict[str, Any]


def ingest(records: list[Record]) -> list[Record]:
    """Give each car names that read alike, and a date that can be compared."""
    return [_car(record) for record in records]


def _car(record: Record) -> Record:
    car = {name.lower(): value for name, value in record.items()}
    if "year" in car:
        car["year"] = datetime.fromisoformat(str(car["year"])).replace(tzinfo=UTC)
    return car
