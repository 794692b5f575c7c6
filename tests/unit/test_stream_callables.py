"""The sample tenants' stream callables, on the sample messages, as a newcomer would try them."""

from __future__ import annotations

import csv
import importlib.util
import itertools
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from mysimbdp import registry, sdk
from mysimbdp.samples import streams, taxi

ROOT = Path(__file__).parents[2]
TENANTS = ROOT / "tenant_pipelines"


def load(tenant, module):
    spec = importlib.util.spec_from_file_location(
        f"{tenant}_{module}", TENANTS / tenant / f"{module}.py"
    )
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def registration(tenant):
    (found,) = [one for one in registry.load_tree(ROOT) if one.tenant == tenant]
    return found.registration


def values(samples, count):
    return [sample.value for sample in itertools.islice(samples, count)]


@pytest.fixture(scope="module")
def readings():
    return [msgspec.json.decode(value) for value in values(streams.read_weather(), 3_000)]


@pytest.fixture(scope="module")
def lines():
    return [value.decode() for value in values(streams.read_taxi(), 1_000)]


def test_weather_readings_name_their_sensor_whose_description_is_kept_apart(readings):
    documents = load("tenant1", "weather_stream").ingest(readings)
    sensors = {sensor["id"]: sensor for sensor in documents["sensors"] if sensor}
    stored = documents["weather_readings"]
    assert len(documents["sensors"]) == len(stored) == 3_000
    assert len(sensors) == 8
    assert sensors["sea-01"]["place"]["name"] == "Ballard"
    assert {reading["sensor"] for reading in stored} == set(sensors)
    assert stored[0] == {
        "number": 0,
        "at": datetime(2012, 1, 1, 12, tzinfo=UTC),
        "temperature": {"min": 5.0, "max": 12.8},
        "precipitation": 0.0,
        "wind": 4.7,
        "weather": "drizzle",
        "sensor": "sea-01",
    }


def test_weather_describes_a_sensor_again_only_when_something_about_it_changed(readings):
    old = [reading for reading in readings if reading["sensor"]["id"] == "sea-01"][:3]
    new = {**old[0], "sensor": old[0]["sensor"] | {"firmware": "3.0.0"}}
    documents = load("tenant1", "weather_stream").ingest([*old, new, new, old[0]])
    firmwares = [sensor and sensor["firmware"] for sensor in documents["sensors"]]
    assert firmwares == ["2.4.1", None, None, "3.0.0", None, "2.4.1"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"temperature_max": 999.9}, "temperature_max is not between -40 and 50: 999.9"),
        ({"temperature_min": None}, "temperature_min is not between -40 and 50: None"),
        ({"wind": -1}, "wind is not between 0 and 75: -1"),
        ({"precipitation": True}, "precipitation is not between 0 and 300: True"),
        ({"temperature_min": 20, "temperature_max": 10}, "temperature_min is above"),
        ({"sensor": None}, "no sensor with an id"),
        ({"sensor": {"id": 7}}, "no sensor with an id"),
    ],
)
def test_a_reading_that_cannot_be_true_is_rejected_and_leaves_no_sensor(readings, change, reason):
    documents = load("tenant1", "weather_stream").ingest([readings[0] | change, readings[8]])
    (bad, _), (none, sensor) = documents["weather_readings"], documents["sensors"]
    assert isinstance(bad, sdk.Reject)
    assert reason in bad.reason
    assert none is None
    assert sensor["id"] == "sea-01"


def test_the_archive_keeps_every_message_as_it_came(readings):
    assert load("tenant1", "weather_stream").archive(readings) == {"messages": readings}


def test_taxi_lines_become_documents_with_the_places_in_a_group(lines):
    (documents,) = load("tenant2", "taxi_stream").ingest(lines).values()
    assert len(documents) == len(lines)
    for line, trip in zip(lines, documents, strict=True):
        row = dict(zip(taxi.COLUMNS, next(csv.reader([line])), strict=True))
        assert trip["trip_id"] == int(row["trip_id"])
        assert trip["vendor_id"] == row["vendor_id"]
        assert trip.get("note", "") == row["note"]
        assert trip["location"]["pickup"] == {
            "id": int(row["pickup_location_id"]),
            "at": datetime.fromisoformat(row["pickup_datetime"]).replace(tzinfo=UTC),
        }
        assert trip["location"]["dropoff"]["id"] == int(row["dropoff_location_id"])
        assert not [name for name in trip if name.startswith(("pickup", "dropoff"))]
        assert None not in trip.values()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "0 values, not 15"),
        ("1,2,3", "3 values, not 15"),
        ("x,00123,2024-01-01,2024-01-01,,,,,1,2,,,,,", "not a trip: invalid literal"),
        ("1,00123,,2024-01-01,,,,,1,2,,,,,", "not a trip: 'pickup_datetime'"),
        ("1,00123,2024-01-01,2024-01-01,,,,,1,2,,-5.0,,,", "negative fare: -5.0"),
    ],
)
def test_a_line_that_is_no_trip_is_rejected_with_a_reason(line, reason):
    (document,) = load("tenant2", "taxi_stream").ingest([line])["taxi_streamed"]
    assert isinstance(document, sdk.Reject)
    assert reason in document.reason


def test_each_callable_fills_the_collections_that_are_registered(readings, lines):
    for tenant, messages in (("tenant1", readings), ("tenant2", lines)):
        apps = registration(tenant).streams.values()
        for app in (one for one in apps if one.callable):
            module, function = app.callable.split(":")
            documents = getattr(load(tenant, module), function)(messages[:50])
            assert documents.keys() == app.collections.keys()
            assert {len(part) for part in documents.values()} == {50}


def test_two_apps_of_one_topic_have_groups_of_their_own():
    """Or they would share the messages instead of each getting all."""
    for tenant in ("tenant1", "tenant2"):
        streams = registration(tenant).streams
        first = next(iter(streams.values()))
        apps = {name: app for name, app in streams.items() if app.topics == first.topics}
        groups = {app.group or name for name, app in apps.items()}
        assert len(groups) == len(apps) == 2


def is_bad_weather(value):
    try:
        message = msgspec.json.decode(value)
    except msgspec.DecodeError:
        return True
    (document,) = load("tenant1", "weather_stream").ingest([message])["weather_readings"]
    return isinstance(document, sdk.Reject)


def is_bad_taxi(value):
    try:
        line = value.decode()
    except UnicodeDecodeError:
        return True
    (document,) = load("tenant2", "taxi_stream").ingest([line])["taxi_streamed"]
    return isinstance(document, sdk.Reject)


@pytest.mark.parametrize(
    ("read", "is_bad"), [(streams.read_weather, is_bad_weather), (streams.read_taxi, is_bad_taxi)]
)
def test_the_wished_share_of_messages_is_bad_and_all_others_are_good(read, is_bad):
    samples = list(itertools.islice(read(0, 10), 200))
    assert [is_bad(sample.value) for sample in samples] == [sample.is_bad for sample in samples]
    assert sum(sample.is_bad for sample in samples) == 20
    assert not any(sample.is_bad for sample in itertools.islice(read(0, 0), 200))
    assert all(sample.is_bad for sample in itertools.islice(read(0, 100), 200))


@pytest.mark.parametrize("read", [streams.read_weather, streams.read_taxi])
def test_the_same_seed_gives_the_same_messages_and_another_one_others(read):
    assert values(read(3), 50) == values(read(3), 50)
    assert values(read(3), 50) != values(read(4), 50)


def test_a_key_names_the_sensor_or_the_place_so_that_its_messages_stay_in_order():
    weather = next(streams.read_weather())
    trip = next(streams.read_taxi())
    assert weather.key.decode() == msgspec.json.decode(weather.value)["sensor"]["id"]
    row = dict(zip(taxi.COLUMNS, next(csv.reader([trip.value.decode()])), strict=True))
    assert trip.key.decode() == row["pickup_location_id"]


def test_taxi_trips_go_on_beyond_one_block_with_new_ids():
    ids = [line.split(b",", 1)[0] for line in itertools.islice(taxi.read_lines(), 100_010)]
    assert len(set(ids)) == 100_010


def test_there_are_samples_for_the_topics_of_both_sample_tenants():
    for tenant, topic in streams.SOURCES:
        assert topic in registration(tenant).topics
    assert {tenant for tenant, _ in streams.SOURCES} == {"tenant1", "tenant2"}


def test_the_slow_callable_keeps_each_reading_and_takes_its_time(monkeypatch):
    slow = load("tenant1", "slow_stream")
    slept = []
    monkeypatch.setattr(slow.time, "sleep", slept.append)

    documents = slow.ingest([{"number": 1}, {"number": 2}])

    assert documents == {"slow_readings": [{"number": 1}, {"number": 2}]}
    assert slept == [pytest.approx(2 * slow.SLOW_SECONDS)]
