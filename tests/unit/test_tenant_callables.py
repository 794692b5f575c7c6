"""The sample tenants' callables, on the sample data, as a newcomer would try them."""

from __future__ import annotations

import csv
import importlib.util
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pandas as pd
import pyarrow as pa
import pytest
from lxml import etree
from pyarrow import csv as arrow_csv

from mysimbdp import registry, sdk
from mysimbdp.pipelines import accounting, readers
from mysimbdp.samples import public, taxi

ROOT = Path(__file__).parents[2]
TENANTS = ROOT / "tenant_pipelines"
CODE = sorted(TENANTS.glob("*/*.py"))


def load(tenant, module):
    spec = importlib.util.spec_from_file_location(
        f"{tenant}_{module}", TENANTS / tenant / f"{module}.py"
    )
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    public.write_public(folder)
    taxi.write_taxi(folder / "trips.csv", rows=500, refund_ratio=0.1)
    return folder


@pytest.fixture(scope="module")
def trips(folder):
    """Hold the records as the platform hands them over: typed, without the missing values."""
    with (folder / "trips.csv").open(newline="") as file:
        return [
            {
                name: float(text) if name.endswith("amount") else text
                for name, text in row.items()
                if text
            }
            for row in csv.DictReader(file)
        ]


def test_arrow_taxi_adds_duration_and_fare_per_mile_and_keeps_every_row(folder):
    table = arrow_csv.read_csv(folder / "trips.csv")
    result = load("tenant1", "taxi").ingest(table)
    first = result.to_pylist()[0]
    seconds = (first["dropoff_datetime"] - first["pickup_datetime"]).total_seconds()
    assert result.num_rows == 500
    assert result.column_names[: len(taxi.COLUMNS)] == list(taxi.COLUMNS)
    assert first["duration_minutes"] == pytest.approx(seconds / 60, abs=0.05)
    assert first["fare_per_mile"] == pytest.approx(
        first["fare_amount"] / first["trip_distance"], abs=0.005
    )


def test_arrow_taxi_leaves_the_fare_per_mile_empty_where_no_distance_is_known():
    start = datetime(2024, 1, 1, tzinfo=UTC)
    table = pa.table(
        {
            "pickup_datetime": [start] * 3,
            "dropoff_datetime": [start, start, None],
            "trip_distance": [0.0, None, 2.0],
            "fare_amount": [5.0, 5.0, 5.0],
        }
    )
    result = load("tenant1", "taxi").ingest(table)
    assert result["fare_per_mile"].to_pylist() == [None, None, 2.5]
    assert result["duration_minutes"].to_pylist() == [0.0, 0.0, None]


def test_pandas_weather_types_the_date_and_computes_the_range(folder):
    result = load("tenant1", "weather").ingest(pd.read_csv(folder / public.WEATHER))
    first = result.iloc[0]
    assert len(result) == 1_461
    assert first["date"] == pd.Timestamp(2012, 1, 1)
    assert first["temperature_range"] == 7.8
    assert not first["wet"]


def test_record_taxi_groups_the_places_and_loses_no_other_value(trips):
    results = load("tenant2", "taxi").ingest(trips)
    assert len(results) == len(trips)
    for row, document in zip(trips, results, strict=True):
        if row["fare_amount"] < 0:
            continue
        location = document.pop("location")
        assert location["pickup"] == {
            "id": row["pickup_location_id"],
            "at": row["pickup_datetime"],
        }
        assert location["dropoff"]["id"] == row["dropoff_location_id"]
        assert document == {
            name: value for name, value in row.items() if not name.startswith(("pickup", "dropoff"))
        }


def test_record_taxi_refuses_exactly_the_negative_fares_with_a_reason(trips):
    results = load("tenant2", "taxi").ingest(trips)
    refused = [isinstance(result, sdk.Reject) for result in results]
    assert refused == [row["fare_amount"] < 0 for row in trips]
    assert any(refused)
    assert all(
        "negative fare: -" in result.reason for result in results if isinstance(result, sdk.Reject)
    )


def test_record_taxi_bears_rows_with_missing_places_and_fares():
    (document,) = load("tenant2", "taxi").ingest([{"trip_id": 1, "pickup_location_id": 5}])
    assert document == {"trip_id": 1, "location": {"pickup": {"id": 5}, "dropoff": {}}}


def test_cars_get_lower_case_names_and_a_date(folder):
    cars = msgspec.json.decode((folder / public.CARS_ARRAY).read_bytes())
    results = load("tenant2", "cars").ingest(cars)
    assert len(results) == 406
    assert results[0]["name"] == "chevrolet chevelle malibu"
    assert results[0]["year"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert all(name.islower() for car in results for name in car)


def test_stations_get_a_point_with_longitude_first(folder):
    records = [
        {"code": element.get("code"), **{child.tag: child.text for child in element}}
        for element in etree.parse(folder / public.STATIONS).getroot()
    ]
    results = load("tenant2", "stations").ingest(records)
    assert len(results) == public.STATION_COUNT
    assert results[0] == {
        "code": "00M",
        "name": "Thigpen",
        "city": "Bay Springs",
        "state": "MS",
        "country": "USA",
        "location": {"type": "Point", "coordinates": [-89.23450472, 31.95376472]},
    }


@pytest.mark.parametrize(
    "record",
    [
        {"code": "X"},
        {"code": "X", "longitude": "east", "latitude": "1"},
        {"code": "X", "longitude": "1", "latitude": "91"},
        {"code": "X", "longitude": "nan", "latitude": "1"},
    ],
)
def test_a_station_without_usable_coordinates_is_refused(record):
    (result,) = load("tenant2", "stations").ingest([record])
    assert isinstance(result, sdk.Reject)
    assert result.reason.startswith("no usable coordinates")


@pytest.mark.parametrize(
    ("pipeline_id", "file", "rows", "rejects"),
    [
        ("tenant1.taxi", "trips.csv", 500, 0),
        ("tenant1.weather", public.WEATHER, 1_461, 0),
        ("tenant2.taxi", "trips.csv", 500, 56),
        ("tenant2.cars", public.CARS_ARRAY, 406, 0),
        ("tenant2.cars", public.CARS_LINES, 406, 0),
        ("tenant2.stations", public.STATIONS, public.STATION_COUNT, 0),
    ],
)
def test_each_callable_works_as_registered_on_its_sample(folder, pipeline_id, file, rows, rejects):
    tenant, subdirectory = pipeline_id.split(".")
    (found,) = [one for one in registry.load_tree(ROOT) if one.tenant == tenant]
    pipeline = found.registration.batch[subdirectory]
    module, function = pipeline.callable.split(":")
    ingest = getattr(load(tenant, module), function)
    options = readers.ReadOptions(
        columns=dict(pipeline.columns), missing=pipeline.missing, xml_row=pipeline.xml_row
    )
    (file_format,) = pipeline.formats
    with (folder / file).open("rb") as stream:
        (block,) = readers.read_blocks(stream, file_format, options)
    accounted = accounting.account(ingest(readers.to_batch(block, pipeline.batch)), len(block.rows))
    assert block.rows_read == rows
    assert not block.rejects
    assert len(accounted.rejects) == rejects


@pytest.mark.parametrize("path", CODE, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_tenant_code_is_short_and_imports_only_what_the_contract_allows(path):
    text = path.read_text()
    imported = set(re.findall(r"^(?:import|from) ([\w.]+)(?: import (\w+))?", text, re.MULTILINE))
    modules = {module for module, _ in imported}
    is_script = path.stem.endswith("_script")
    drivers = {"pymongo", "confluent_kafka"} if is_script else set()
    allowed = {"pyarrow", "pandas", "numpy", "mysimbdp"} | drivers
    assert {module.split(".")[0] for module in modules} <= allowed | sys.stdlib_module_names
    assert {name for module, name in imported if module == "mysimbdp"} <= {"sdk"}
    assert "mysimbdp." not in "".join(modules)
    assert len(text.splitlines()) <= (140 if is_script else 60)
