"""Stations from XML, one element a record: text becomes numbers, the coordinates are nested."""

from __future__ import annotations

from typing import Any

from mysimbdp import sdk

Record = dict[str, Any]

LATITUDES = (-90.0, 90.0)
LONGITUDES = (-180.0, 180.0)


def ingest(records: list[Record]) -> list[Record | sdk.Reject]:
    """Turn each station into a document with a GeoJSON point, which MongoDB can index."""
    return [_station(record) for record in records]


def _station(record: Record) -> Record | sdk.Reject:
    try:
        longitude = _degrees(record["longitude"], LONGITUDES)
        latitude = _degrees(record["latitude"], LATITUDES)
    except (KeyError, ValueError) as error:
        return sdk.Reject(f"no usable coordinates: {error}")
    station = {name: value for name, value in record.items() if not name.endswith("itude")}
    station["location"] = {"type": "Point", "coordinates": [longitude, latitude]}
    return station


def _degrees(text: str, limits: tuple[float, float]) -> float:
    degrees = float(text)
    if not limits[0] <= degrees <= limits[1]:
        raise ValueError(f"{degrees} is not between {limits[0]} and {limits[1]}")
    return degrees
