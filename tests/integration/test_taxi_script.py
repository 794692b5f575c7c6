"""tenant2's black box: it writes by itself, and running it again changes nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest

from mysimbdp.samples import taxi

SCRIPT = Path(__file__).parents[2] / "tenant_pipelines" / "tenant2" / "taxi_script.py"
ROWS = 12_000


@pytest.fixture
def run(mongod, tenant_name, tmp_path):
    tenant = tenant_name()
    url = mongod.add_tenant(tenant)
    trips = tmp_path / "trips.csv"
    taxi.write_taxi(trips, rows=ROWS)

    def start():
        done = subprocess.run(
            [sys.executable, SCRIPT, trips],
            env={"MONGO_URL": url, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        with pymongo.MongoClient(url) as client:
            return done.stdout, list(client[tenant]["taxi_scripted"].find())

    return start


def test_the_script_stores_every_trip_once_however_often_it_runs(run):
    output, first = run()
    _, second = run()
    assert len(first) == ROWS
    assert sorted(first, key=lambda trip: trip["_id"]) == sorted(
        second, key=lambda trip: trip["_id"]
    )
    assert output.splitlines() == ["10000 trips stored", "12000 trips stored"]


def test_the_script_keeps_types_and_drops_missing_values(run):
    _, trips = run()
    assert all(isinstance(trip["_id"], int) for trip in trips)
    assert "00123" in {trip["vendor_id"] for trip in trips}
    assert "NA" in {trip.get("note") for trip in trips}
    assert {type(trip["passenger_count"]) for trip in trips if "passenger_count" in trip} == {int}
    assert any("tip_amount" not in trip for trip in trips)
    assert None not in [value for trip in trips for value in trip.values()]
