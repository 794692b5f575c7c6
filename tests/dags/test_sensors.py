import json
import os
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from mysimbdp import errors
from mysimbdp.staging.area import Area

DAY = datetime(2026, 11, 21, tzinfo=UTC)


class Note:
    """Stand for the task instance: keep what the sensor leaves for the scheduler."""

    map_index = -1

    def __init__(self):
        self.left = {}

    def xcom_push(self, key, value):
        self.left[key] = value


@pytest.fixture
def place(parsing, monkeypatch):
    staging = parsing.places.staging
    connection = {"conn_type": "fs", "extra": {"path": str(staging)}}
    monkeypatch.setenv("AIRFLOW_CONN_FS_DEFAULT", json.dumps(connection))
    area = Area(staging, "tenant1", "taxi")
    area.inbox.mkdir(parents=True)
    return area


@pytest.fixture
def sensor(parsing, tenant):
    return parsing(tenant).dags["tenant1.taxi"].task_dict["files_ready"]


def context(run_type, logical_date=None, **fields):
    run = SimpleNamespace(run_type=SimpleNamespace(value=run_type), logical_date=logical_date)
    return {"dag_run": run, "params": {"files": "*", "wait_minutes": 5} | fields, "ti": Note()}


def land(folder, name="trips.csv"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("a\n1\n")
    earlier = time.time() - 60
    os.utime(folder / name, (earlier, earlier))


@pytest.mark.parametrize("run_type", ["asset_triggered", "manual"])
def test_complete_files_in_the_inbox_let_a_run_go_on(sensor, place, run_type):
    land(place.inbox)
    assert sensor.execute(context(run_type)) is None


def test_a_run_whose_files_another_run_took_is_skipped_as_a_whole(sensor, place):
    run = context("asset_triggered")
    with pytest.raises(AirflowSkipException, match="no file '\\*' in the inbox"):
        sensor.execute(run)
    (note,) = run["ti"].left.values()
    assert sorted(note["skipped"]) == ["admit", "settle"]


def test_a_run_by_hand_waits_in_the_triggerer(sensor, place):
    before = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context("manual", files="*.csv", wait_minutes=5))
    trigger = deferred.value.trigger
    assert (trigger.tenant, trigger.subdirectory, trigger.pattern) == ("tenant1", "taxi", "*.csv")
    assert trigger.root == str(place.root)
    waits = datetime.fromisoformat(trigger.until) - before
    assert timedelta(minutes=4.9) < waits < timedelta(minutes=5.1)


def test_a_file_still_being_written_is_waited_for(sensor, place):
    land(place.inbox, "trips.csv.part")
    with pytest.raises(TaskDeferred):
        sensor.execute(context("manual"))


def test_after_the_wait_a_run_goes_on_with_files_and_fails_without(sensor, place):
    sensor.execute_complete(context("manual"), ["trips.csv"])
    with pytest.raises(AirflowSensorTimeout, match="'\\*' in the inbox of tenant1/taxi"):
        sensor.execute_complete(context("manual"), [])


def test_a_backfill_finds_what_was_loaded_on_its_day(sensor, place):
    land(place.loaded(DAY.date()) / "20261121T000000-aaaa")
    assert sensor.execute(context("backfill", DAY)) is None
    with pytest.raises(AirflowSkipException):
        sensor.execute(context("backfill", DAY + timedelta(days=1)))


def test_a_backfill_leaves_the_inbox_alone(sensor, place):
    land(place.inbox)
    with pytest.raises(AirflowSkipException):
        sensor.execute(context("backfill", DAY))


def test_asking_for_archived_files_that_do_not_exist_fails_at_once(sensor, place):
    with pytest.raises(errors.IngestionFailedError, match="loaded on 2026-11-21 in the archive"):
        sensor.execute(context("manual", files="loaded/2026-11-21/nothing.csv"))


def test_the_operator_sees_what_is_looked_for(sensor):
    assert sensor.filepath == "tenant1/taxi/{{ params.files }}"
    assert sensor.fs_conn_id == "fs_default"
