from datetime import UTC, datetime, timedelta

import pytest

from mysimbdp.streaming import standing

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def document(state, beat, wish="running", wished=100, **more):
    return {
        "state": state,
        "beat_at": ago(beat),
        "wish": {"state": wish, "instances": 2, "by": "ops", "at": ago(wished)},
        "instances": [{"number": 0, "pid": 7, "state": "running"}],
        "lag": 3,
        "rate": 1.5,
        **more,
    }


def stands(kept):
    return standing.of(kept, "tenant1", "weather", NOW)


def instance(state="running", **figures):
    values = {"state": state, "lag": None, "rate": 0.0, "total": 0, "rejected": 0}
    return values | {"last_message_at": None} | figures


def test_an_app_that_nobody_asked_for_is_stopped():
    found = stands({})
    assert (found.desired, found.actual, found.instances) == ("stopped", "stopped", ())


def test_an_app_whose_supervisor_beats_is_what_the_supervisor_says():
    found = stands(document("waiting", beat=14))
    assert (found.desired, found.actual, found.lag, found.rate) == ("running", "waiting", 3, 1.5)
    assert found.instances[0]["pid"] == 7
    assert found.advice is None


def test_an_app_not_heard_of_for_fifteen_seconds_is_lost_and_says_what_to_do():
    found = stands(document("running", beat=16))
    assert (found.actual, found.instances, found.lag, found.rate) == ("lost", (), None, 0.0)
    assert "tenant1.weather.stream is paused" in found.advice
    assert "mysimbdp streams start tenant1 weather" in found.advice


def test_an_app_whose_renewal_does_not_come_is_lost():
    assert stands(document("renewing", beat=5)).actual == "renewing"
    assert stands(document("renewing", beat=20)).actual == "lost"


def test_a_silent_app_that_shall_be_stopped_is_stopped():
    assert stands(document("running", beat=20, wish="stopped")).actual == "stopped"


def test_a_failed_app_stays_failed_however_long_ago_that_was():
    kept = document("failed", beat=9000, wish="stopped", cause="topic_missing", error="gone")
    found = stands(kept)
    assert (found.actual, found.cause, found.error) == ("failed", "topic_missing", "gone")
    assert stands(document("failed", beat=10, wished=100)).actual == "failed"


@pytest.mark.parametrize(("wished", "actual"), [(30, "starting"), (70, "lost")])
def test_a_start_that_nobody_takes_up_within_a_minute_is_lost(wished, actual):
    assert stands(document("stopped", beat=500, wished=wished)).actual == actual


@pytest.mark.parametrize(
    ("states", "together"),
    [
        ([], "starting"),
        (["running", "running"], "running"),
        (["running", "starting"], "starting"),
        (["waiting", "starting"], "waiting"),
        (["running", "restarting", "waiting"], "restarting"),
        (["running", "draining"], "draining"),
        (["running", "failed"], "running"),
    ],
)
def test_an_app_is_as_well_as_its_least_well_instance(states, together):
    assert standing.together([instance(state) for state in states], is_ending=False) == together


def test_an_app_that_ends_is_draining():
    assert standing.together([instance()], is_ending=True) == "draining"


def test_figures_add_up_over_instances_and_those_that_are_gone():
    past = standing.Sums(total=100, rejected=1, last_message_at="2026-11-23T09:00:00+00:00")
    sums = past.plus(
        [
            instance(lag=2, rate=1.5, total=10),
            instance(lag=3, rate=2.0, total=5, rejected=1),
            instance(last_message_at="2026-11-23T09:30:00+00:00"),
        ]
    )
    assert (sums.total, sums.rejected, sums.lag, sums.rate) == (115, 2, 5, 3.5)
    assert sums.last_message_at == "2026-11-23T09:30:00+00:00"


def test_a_lag_that_no_instance_knows_is_unknown():
    assert standing.Sums().plus([instance()]).lag is None
