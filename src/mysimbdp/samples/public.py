"""Small public data: weather, cars and airports of the vega-datasets package."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
from lxml import etree
from vega_datasets import local_data

WEATHER = "seattle-weather.csv"
CARS_ARRAY = "cars.json"
CARS_LINES = "cars-lines.json"
STATIONS = "stations.xml"
STATION_COUNT = 500

#: What becomes an element of a station; the airport's code becomes its attribute.
_STATION_ELEMENTS = ("name", "city", "state", "country", "latitude", "longitude")


def write_public(folder: Path) -> tuple[Path, ...]:
    """Write the daily weather (CSV), the cars (JSON array and lines) and the stations (XML)."""
    folder.mkdir(parents=True, exist_ok=True)
    cars = msgspec.json.decode(local_data.cars.raw())
    contents = {
        WEATHER: local_data.seattle_weather.raw(),
        CARS_ARRAY: msgspec.json.format(msgspec.json.encode(cars), indent=2),
        CARS_LINES: b"".join(msgspec.json.encode(car) + b"\n" for car in cars),
        STATIONS: _stations(local_data.airports.raw().decode()),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return tuple(folder / name for name in contents)


def _stations(airports: str) -> bytes:
    root = etree.Element("stations")
    for airport in list(csv.DictReader(io.StringIO(airports)))[:STATION_COUNT]:
        station = etree.SubElement(root, "station", code=airport["iata"])
        for name in _STATION_ELEMENTS:
            if airport[name]:
                etree.SubElement(station, name).text = airport[name]
    text: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return text
