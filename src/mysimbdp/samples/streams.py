"""Sample rows as messages without end: weather readings for tenant1, taxi trips for tenant2.

The same seed gives the same messages, on every machine. One percent of bad messages means every
hundredth: unreadable, untrue and incomplete ones in turn.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import msgspec
from vega_datasets import local_data

from mysimbdp.samples import taxi

_PERCENT = 100
#: As many as share no divisor with the rows of the weather, so that pairs of both repeat late.
_PLACES = (
    ("Ballard", -122.384, 47.669),
    ("Capitol Hill", -122.321, 47.623),
    ("Columbia City", -122.287, 47.560),
    ("Fremont", -122.350, 47.651),
    ("Georgetown", -122.320, 47.547),
    ("Northgate", -122.328, 47.706),
    ("Queen Anne", -122.357, 47.637),
    ("West Seattle", -122.386, 47.571),
)
_MODELS = ("WX-200", "WX-200", "WX-310", "HydroMet 5")
_FIRMWARES = ("2.4.1", "2.4.1", "2.5.0")
_NUMBERS = ("precipitation", "temp_max", "temp_min", "wind")
_PICKUP_LOCATION = taxi.COLUMNS.index("pickup_location_id")


@attrs.frozen
class Sample:
    """A message to send; `is_bad` ones are rejected by the sample tenants' callables."""

    key: bytes
    value: bytes
    is_bad: bool = False


Samples = Callable[[int, int], Iterator[Sample]]


def read_weather(seed: int = 0, bad_percent: int = 0) -> Iterator[Sample]:
    """Yield readings of eight sensors without end: the days of Seattle, one day a reading."""
    rows = list(csv.DictReader(io.StringIO(local_data.seattle_weather.raw().decode())))
    sensors = [_sensor(number) for number in range(len(_PLACES))]
    spoiled = itertools.count()
    for number in itertools.count(seed):
        sensor = sensors[number % len(sensors)]
        reading = _reading(number, rows[number % len(rows)], sensor)
        key = sensor["id"].encode()
        if _is_bad(number - seed, bad_percent):
            spoil = _SPOILED_WEATHER[next(spoiled) % len(_SPOILED_WEATHER)]
            yield Sample(key, spoil(reading), is_bad=True)
        else:
            yield Sample(key, msgspec.json.encode(reading))


def read_taxi(seed: int = 0, bad_percent: int = 0) -> Iterator[Sample]:
    """Yield taxi trips without end, one CSV line without a header each, all of different ids."""
    spoiled = itertools.count()
    for number, line in enumerate(taxi.read_lines(seed)):
        # No column up to this one can hold a comma.
        key = line.split(b",", _PICKUP_LOCATION + 1)[_PICKUP_LOCATION]
        if _is_bad(number, bad_percent):
            spoil = _SPOILED_TAXI[next(spoiled) % len(_SPOILED_TAXI)]
            yield Sample(key, spoil(line), is_bad=True)
        else:
            yield Sample(key, line)


#: Tenant and topic: the samples for every app that reads it.
SOURCES: dict[tuple[str, str], Samples] = {
    ("tenant1", "weather"): read_weather,
    ("tenant1", "weather-slow"): read_weather,
    ("tenant2", "taxi"): read_taxi,
}


def _is_bad(number: int, percent: int) -> bool:
    """Spread the bad ones evenly."""
    return (number + 1) * percent // _PERCENT > number * percent // _PERCENT


def _sensor(number: int) -> dict[str, Any]:
    name, longitude, latitude = _PLACES[number]
    return {
        "id": f"sea-{number + 1:02}",
        "model": _MODELS[number % len(_MODELS)],
        "firmware": _FIRMWARES[number % len(_FIRMWARES)],
        "place": {"name": name, "longitude": longitude, "latitude": latitude},
        "installed": f"2011-{number + 3:02}-01",
    }


def _reading(number: int, row: dict[str, str], sensor: dict[str, Any]) -> dict[str, Any]:
    precipitation, highest, lowest, wind = (float(row[name]) for name in _NUMBERS)
    return {
        "number": number,
        "measured_at": f"{row['date'].replace('/', '-')}T12:00:00+00:00",
        "temperature_min": lowest,
        "temperature_max": highest,
        "precipitation": precipitation,
        "wind": wind,
        "weather": row["weather"],
        "sensor": sensor,
    }


_SPOILED_WEATHER: tuple[Callable[[dict[str, Any]], bytes], ...] = (
    lambda reading: msgspec.json.encode(reading)[:-20],
    lambda reading: msgspec.json.encode(reading | {"temperature_max": 999.9}),
    lambda reading: msgspec.json.encode({**reading, "sensor": None}),
)
_SPOILED_TAXI: tuple[Callable[[bytes], bytes], ...] = (
    lambda line: line[: len(line) // 2],
    lambda line: line.replace(b",", b",no trip,", 1),
    lambda line: b"\xff\xfe" + line,
)
