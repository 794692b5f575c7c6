"""Taxi trips, column by column: the fastest way, for large CSV files."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

SECONDS_PER_MINUTE = 60


def ingest(table: pa.Table) -> pa.Table:
    """Add how long each trip took and what a mile cost; empty cells are not stored."""
    table = table.append_column("duration_minutes", _duration_minutes(table))
    return table.append_column("fare_per_mile", _fare_per_mile(table))


def _duration_minutes(table: pa.Table) -> pa.ChunkedArray:
    seconds = pc.seconds_between(table["pickup_datetime"], table["dropoff_datetime"])
    return pc.round(pc.divide(pc.cast(seconds, pa.float64()), SECONDS_PER_MINUTE), 1)


def _fare_per_mile(table: pa.Table) -> pa.ChunkedArray:
    """Divide where a distance is known; elsewhere the cell stays empty."""
    miles = table["trip_distance"]
    known = pc.if_else(pc.greater(miles, 0), miles, None)
    return pc.round(pc.divide(table["fare_amount"], known), 2)
