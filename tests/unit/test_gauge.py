"""What the offsets of a group and the size of a database tell about a script."""

from __future__ import annotations

import pytest

from mysimbdp.streaming.batch import Partition
from mysimbdp.streaming.gauge import Gauge
from mysimbdp.streaming.group_view import Place
from mysimbdp.streaming.report import Origin, decode, encode

ONE, OTHER = Partition("t.events", 0), Partition("t.events", 1)


@pytest.fixture
def gauge():
    return Gauge(Origin(streaming_app_id="app", tenant_id="tenant9"))


def place(committed, end=100, first=0):
    return Place(committed=committed, first=first, end=end)


def test_messages_are_what_was_committed_since_the_first_look(gauge):
    gauge.see({ONE: place(40), OTHER: place(7)})
    gauge.see({ONE: place(50), OTHER: place(7)})
    gauge.see({ONE: place(50), OTHER: place(10)})
    report = gauge.close_window()
    assert report.metrics.total_number_of_messages == report.window.messages == 13
    assert report.window.lag == 50 + 90
    assert report.source == "outside"
    assert gauge.status("running").total == 13


def test_each_window_has_its_own_messages_and_the_total_goes_on(gauge):
    gauge.see({ONE: place(0)})
    gauge.see({ONE: place(10)})
    first = gauge.close_window()
    gauge.see({ONE: place(15)})
    second = gauge.close_window()
    assert (first.window.messages, second.window.messages) == (10, 5)
    assert second.metrics.total_number_of_messages == 15
    assert second.timeframe.measurement_start_time == first.timeframe.measurement_end_time
    assert second.timeframe.ingestion_start_time == first.timeframe.ingestion_start_time


def test_a_group_that_never_committed_begins_with_the_oldest_message(gauge):
    gauge.see({ONE: place(None, first=20)})
    assert gauge.status("running").lag == 80
    gauge.see({ONE: place(30, first=20)})
    assert gauge.close_window().window.messages == 10


def test_what_is_read_again_waits_again_and_is_not_counted_again(gauge):
    gauge.see({ONE: place(0)})
    gauge.see({ONE: place(50)})
    gauge.see({ONE: place(10)})
    assert gauge.status("running").lag == 90
    gauge.see({ONE: place(60)})
    assert gauge.close_window().window.messages == 60


def test_a_topic_that_was_made_again_counts_from_its_new_beginning(gauge):
    gauge.see({ONE: place(0)})
    gauge.see({ONE: place(100)})
    gauge.see({ONE: place(None, end=20)})
    gauge.see({ONE: place(20, end=20)})
    assert gauge.close_window().window.messages == 120


def test_a_partition_that_is_new_counts_from_its_beginning(gauge):
    gauge.see({ONE: place(5)})
    gauge.see({ONE: place(5), OTHER: place(3)})
    gauge.see({ONE: place(5), OTHER: place(9)})
    assert gauge.close_window().window.messages == 9


def test_the_partition_that_moved_most_is_named_with_its_first_and_last_message(gauge):
    assert gauge.see({ONE: place(5), OTHER: place(5)}) is None
    assert gauge.see({ONE: place(6), OTHER: place(10)}) == (OTHER, 5, 9)
    assert gauge.see({ONE: place(6), OTHER: place(10)}) is None


def test_bytes_are_the_growth_of_the_database_and_never_negative(gauge):
    for size in (1_000, 4_000_000, 3_000_000, 3_000_100):
        gauge.see_size(size)
    report = gauge.close_window()
    assert report.window.bytes == 3_999_000 + 100
    assert report.metrics.total_ingestion_data_size == 3


def test_the_ingestion_time_is_the_average_of_the_samples(gauge):
    gauge.see({ONE: place(0)})
    gauge.see({ONE: place(10)})
    for seconds in (1.0, 4.0, -0.5):
        gauge.see_time(seconds)
    report = gauge.close_window()
    assert report.metrics.average_ingestion_time == pytest.approx(5 / 3)
    assert report.window.max_ingestion_time == 4.0
    assert gauge.close_window().metrics.average_ingestion_time == 0
    gauge.see({ONE: place(20)})
    assert gauge.close_window().metrics.average_ingestion_time == pytest.approx(5 / 3)


def test_lag_is_unknown_while_nobody_answers(gauge):
    gauge.see({ONE: place(0)})
    gauge.lose_sight()
    assert gauge.status("waiting").lag is None
    assert gauge.close_window().window.lag is None


def test_every_report_can_be_read_again(gauge):
    gauge.see({ONE: place(None)})
    report = gauge.close_window()
    assert decode(encode(report)) == report
