import pendulum
import pytest
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import TimeRestriction

from mysimbdp.orchestration.timetable import ArchiveDays


@pytest.fixture
def serialised(parsing, tenant):
    """Give a DAG as the scheduler has it."""
    dag = parsing(tenant).dags["tenant1.taxi"]
    return DagSerialization.from_dict(DagSerialization.to_dict(dag))


def days(dag, first, last):
    infos = list(dag.iter_dagrun_infos_between(pendulum.parse(first), pendulum.parse(last)))
    assert all(info.data_interval.start == info.data_interval.end for info in infos)
    return [info.logical_date.isoformat() for info in infos]


def test_the_clock_never_starts_a_run(serialised):
    assert serialised.next_dagrun_info(last_automated_run_info=None) is None
    (done,) = serialised.iter_dagrun_infos_between(*[pendulum.datetime(2026, 11, 20)] * 2)
    assert serialised.next_dagrun_info(last_automated_run_info=done) is None


def test_a_dag_takes_both_landing_files_and_backfills(serialised):
    assert serialised.timetable.periodic
    assert [key.name for key, _ in serialised.timetable.asset_condition.iter_assets()] == [
        "inbox.tenant1.taxi"
    ]


def test_a_backfill_makes_one_run_a_day_with_both_ends(serialised):
    assert days(serialised, "2026-11-20", "2026-11-22") == [
        "2026-11-20T00:00:00+00:00",
        "2026-11-21T00:00:00+00:00",
        "2026-11-22T00:00:00+00:00",
    ]


def test_a_backfill_of_one_day_makes_one_run(serialised):
    assert days(serialised, "2026-11-20", "2026-11-20") == ["2026-11-20T00:00:00+00:00"]


def test_a_day_that_had_begun_before_the_backfills_first_moment_is_left_out(serialised):
    assert days(serialised, "2026-11-20T10:00", "2026-11-21") == ["2026-11-21T00:00:00+00:00"]


def test_days_are_utc_days_whatever_the_time_zone_of_the_dates(serialised):
    assert days(serialised, "2026-11-20T00:00+02:00", "2026-11-20T23:00+02:00") == [
        "2026-11-20T00:00:00+00:00"
    ]


def test_the_clock_starts_no_run_within_bounds_either():
    day = pendulum.datetime(2026, 11, 20)
    bounded = TimeRestriction(earliest=day, latest=day, catchup=False)
    info = ArchiveDays().next_dagrun_info(last_automated_data_interval=None, restriction=bounded)
    assert info is None


def test_a_schedule_without_bounds_makes_no_run():
    unbounded = TimeRestriction(earliest=None, latest=None, catchup=True)
    info = ArchiveDays().next_dagrun_info(last_automated_data_interval=None, restriction=unbounded)
    assert info is None


def test_a_run_by_hand_stands_at_the_moment_it_was_asked_for():
    now = pendulum.datetime(2026, 11, 22, 13, 5)
    interval = ArchiveDays().infer_manual_data_interval(run_after=now)
    assert (interval.start, interval.end) == (now, now)
