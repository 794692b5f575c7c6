"""Readings of weather sensors, as they arrive: each sensor is kept once, its readings name it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mysimbdp import sdk

Record = dict[str, Any]
Documents = dict[str, list[Record | sdk.Reject | None]]

#: What a sensor in Seattle can measure: degrees Celsius, millimetres a day, metres a second.
PLAUSIBLE = {
    "temperature_min": (-40.0, 50.0),
    "temperature_max": (-40.0, 50.0),
    "precipitation": (0.0, 300.0),
    "wind": (0.0, 75.0),
}


def ingest(messages: list[Record]) -> Documents:
    """Pluck the sensor out of each message; a reading that cannot be true is rejected."""
    known: dict[str, Record] = {}
    documents: Documents = {"sensors": [], "weather_readings": []}
    for message in messages:
        fault = _fault(message)
        sensor = message.get("sensor")
        # A sensor that was described before in this batch need not be stored again.
        is_new = fault is None and known.get(sensor["id"]) != sensor
        if is_new:
            known[sensor["id"]] = sensor
        documents["sensors"].append(sensor if is_new else None)
        documents["weather_readings"].append(sdk.Reject(fault) if fault else _reading(message))
    return documents


def archive(messages: list[Record]) -> Documents:
    """Keep each message as it came: the second sink of the same data."""
    return {"messages": list(messages)}


def _fault(message: Record) -> str | None:
    sensor = message.get("sensor")
    if not isinstance(sensor, dict) or not isinstance(sensor.get("id"), str):
        return "no sensor with an id"
    for name, (low, high) in PLAUSIBLE.items():
        value = message.get(name)
        if type(value) not in {int, float} or not low <= value <= high:
            return f"{name} is not between {low:g} and {high:g}: {value}"
    if message["temperature_min"] > message["temperature_max"]:
        return "temperature_min is above temperature_max"
    return None


def _reading(message: Record) -> Record:
    reading = {name: message[name] for name in ("number", "precipitation", "wind", "weather")}
    at = datetime.fromisoformat(message["measured_at"])
    temperature = {end: message[f"temperature_{end}"] for end in ("min", "max")}
    return reading | {"sensor": message["sensor"]["id"], "at": at, "temperature": temperature}
