"""The figures of a window are those of its messages."""

import time

import numpy as np
import pytest

from mysimbdp.streaming.meter import Meter
from mysimbdp.streaming.report import Origin


@pytest.fixture
def meter():
    return Meter(Origin(streaming_app_id="weather", tenant_id="tenant1", instance=1))


def add(meter, count, *, seconds_ago=0.0, rejected=0, size=100):
    produced = np.full(count, (time.time() - seconds_ago) * 1000, dtype=np.int64)
    meter.add(produced, count * size, rejected)


def test_a_window_has_its_own_messages_and_the_totals_of_all(meter):
    add(meter, 30, seconds_ago=2)
    first = meter.close_window(lag=5)
    add(meter, 10, rejected=4, size=2**20)
    second = meter.close_window(lag=0)

    assert (first.window.messages, first.window.lag) == (30, 5)
    assert first.metrics.average_ingestion_time == pytest.approx(2, abs=0.5)
    assert (second.window.messages, second.window.rejected) == (10, 4)
    assert second.metrics.total_number_of_messages == 40
    assert second.metrics.total_ingestion_data_size == 10
    assert second.metrics.average_ingestion_time < 1
    assert second.timeframe.measurement_start_time == first.timeframe.measurement_end_time


def test_rates_are_per_second_of_the_window(meter):
    began = time.monotonic()
    add(meter, 1_000)
    time.sleep(0.1)
    report = meter.close_window(lag=None)
    seconds = time.monotonic() - began

    assert 1_000 / seconds * 0.5 < report.metrics.processing_rate <= 1_000 / 0.1
    assert report.metrics.throughput == pytest.approx(report.metrics.processing_rate * 100)


def test_an_empty_window_has_no_slowest_message_and_no_division_by_zero(meter):
    report = meter.close_window(lag=None)

    assert report.window.max_ingestion_time is None
    assert report.metrics.average_ingestion_time == 0


def test_a_clock_that_runs_behind_makes_no_negative_time(meter):
    add(meter, 10, seconds_ago=-60)

    assert meter.close_window(lag=None).metrics.average_ingestion_time == 0


def test_few_messages_say_nothing_about_the_share_of_rejects(meter):
    add(meter, 99, rejected=99)
    assert meter.reject_ratio() == 0
    add(meter, 1)
    assert meter.reject_ratio() == pytest.approx(0.99)


def test_only_the_latest_messages_decide_about_the_share_of_rejects(meter):
    for _ in range(10):
        add(meter, 100, rejected=100)
    assert meter.reject_ratio() == 1
    for _ in range(11):
        add(meter, 100)
    assert meter.reject_ratio() == 0
