"""When a breach opens and when it closes."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from mysimbdp.agreements.model import Objectives
from mysimbdp.streaming import figures, objectives
from mysimbdp.streaming.breaches import Account, App, Cause, Closed, Opened
from mysimbdp.streaming.report import Metrics, Origin, Report, Timeframe, Window

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WINDOW = 10
AGREED = Objectives.model_validate(
    {
        "max_average_ingestion_time": "5s",
        "max_lag": 100,
        "max_reject_ratio": 0.1,
        "max_silence": "30s",
    }
)
RUNS = App(runs=True, since=NOON - timedelta(hours=1))
STOPPED = App(runs=False)


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def told(end, *, seconds=1.0, lag=0, messages=10, rejected=0, instance=0, source="platform"):
    """Make the report of a window of ten seconds that ends so many seconds after noon."""
    return Report(
        metrics=Metrics(
            processing_rate=messages / WINDOW,
            throughput=0,
            average_ingestion_time=seconds,
            total_ingestion_data_size=0,
            total_number_of_messages=messages,
        ),
        timeframe=Timeframe(
            ingestion_start_time=NOON,
            measurement_start_time=at(end - WINDOW),
            measurement_end_time=at(end),
        ),
        origin=Origin(streaming_app_id="weather", tenant_id="tenant1", instance=instance),
        window=Window(
            messages=messages, rejected=rejected, bytes=0, max_ingestion_time=seconds, lag=lag
        ),
        source=source,
    )


class Watched:
    """An app whose reports are taken in; `told` lists what was announced."""

    def __init__(self, agreed=AGREED, app=RUNS):
        self.agreed, self.app, self.account, self.told = agreed, app, Account(), []

    def hear(self, *reports):
        for report in reports:
            self.account, changes = objectives.hear(self.account, report, self.agreed, self.app)
            self.told += changes
        return self

    def look(self, seconds, *, heard_all=True):
        self.account, changes = objectives.look(
            self.account, self.agreed, self.app, at(seconds), heard_all=heard_all
        )
        self.told += changes
        return self

    @property
    def words(self):
        return [
            (type(one).__name__, one.cause.value, getattr(one, "ending", None)) for one in self.told
        ]


@pytest.mark.parametrize(
    ("missed", "kept", "cause", "found"),
    [
        ({"seconds": 5.1}, {"seconds": 5.0}, Cause.INGESTION_TIME, "5.1 s"),
        ({"lag": 101}, {"lag": 100}, Cause.LAG, "101 messages"),
        ({"rejected": 2}, {"rejected": 1}, Cause.REJECTS, "20.00%"),
    ],
)
def test_a_breach_opens_with_the_first_window_above_and_closes_with_the_second_below(
    missed, kept, cause, found
):
    app = Watched().hear(told(10, **kept))
    assert app.told == []
    app.hear(told(20, **missed))
    (opened,) = app.told
    assert (opened.cause, opened.breach.found, opened.breach.opened_at) == (cause, found, at(20))
    app.hear(told(30, **missed), told(40, **kept))
    assert len(app.told) == 1
    app.hear(told(50, **kept))
    assert (app.told[1].cause, app.told[1].ending, app.told[1].at) == (cause, "recovered", at(50))
    assert app.account.breaches == {}


def test_a_figure_that_swings_is_one_breach():
    app = Watched()
    for end in range(10, 100, 20):
        app.hear(told(end, lag=500), told(end + 10, lag=0))
    assert app.words == [("Opened", "max_lag", None)]
    assert app.account.breaches[Cause.LAG].found == "500 messages"


def test_a_report_that_is_read_again_changes_nothing():
    reports = [told(10, lag=500), told(20), told(30)]
    app = Watched().hear(*reports)
    before = app.account
    assert app.hear(*reports).account == before
    assert app.words == [("Opened", "max_lag", None), ("Closed", "max_lag", "recovered")]


def test_all_of_it_read_again_tells_the_same():
    reports = [told(10, lag=500), told(20), told(30), told(40, lag=500)]
    app = Watched().hear(*reports)
    again = Watched().hear(*reports)
    assert again.told == app.told
    assert [type(one) for one in app.told] == [Opened, Closed, Opened]


def test_without_objectives_nothing_is_missed():
    bad = told(10, seconds=999, lag=999_999, rejected=10)
    assert Watched(agreed=Objectives()).hear(bad).look(9999).told == []


def test_an_app_that_is_stopped_opens_nothing_as_it_drains():
    assert Watched(app=STOPPED).hear(told(10, lag=500)).look(9999).told == []


def test_an_app_that_is_stopped_on_purpose_closes_its_breaches():
    app = Watched().hear(told(10, lag=500))
    app.app = STOPPED
    assert app.look(12).words[1:] == [("Closed", "max_lag", "stopped")]


def test_an_objective_that_is_no_longer_agreed_closes_its_breach():
    app = Watched().hear(told(10, lag=500))
    app.agreed = Objectives()
    assert app.look(12).words[1:] == [("Closed", "max_lag", "no longer agreed")]


def test_a_running_app_without_a_report_is_silent():
    app = Watched().hear(told(10)).look(40)
    assert app.told == []
    app.look(41)
    (opened,) = app.told
    assert opened.cause is Cause.SILENCE
    assert opened.breach.opened_at == at(40)
    assert "none since 2026-11-23 12:00:10 UTC" in opened.breach.found


def test_silence_is_over_with_the_second_report():
    app = Watched().hear(told(10)).look(41).hear(told(60))
    assert len(app.told) == 1
    app.hear(told(70))
    assert app.words[1:] == [("Closed", "max_silence", "recovered")]


def test_an_app_that_never_reported_is_silent_from_its_start_on():
    app = Watched(app=App(runs=True, since=at(0)))
    assert app.look(30).told == []
    assert app.look(31).words == [("Opened", "max_silence", None)]


def test_nothing_is_silent_before_all_reports_are_read():
    assert Watched().hear(told(10)).look(9999, heard_all=False).told == []


def test_a_tenants_own_word_does_not_break_the_silence():
    app = Watched().hear(told(10)).look(41)
    app.hear(told(60, source="tenant"), told(70, source="tenant"))
    assert app.words == [("Opened", "max_silence", None)]


def test_a_failed_app_is_a_breach_of_its_own_until_it_reports_again():
    app = Watched(app=attrs.evolve(RUNS, failed="topic_missing: no topic x")).hear(told(10))
    app.look(20).look(9999)
    (opened,) = app.told
    assert (opened.cause, opened.breach.found) == (Cause.FAILED, "topic_missing: no topic x")
    app.app = RUNS
    app.hear(told(60), told(70))
    assert app.words[1:] == [("Closed", "failed", "recovered")]


def test_the_last_report_of_a_failed_app_does_not_close_it():
    app = Watched(app=attrs.evolve(RUNS, failed="memory: over 2GB")).look(1)
    app.hear(told(10), told(20), told(30))
    assert app.words == [("Opened", "failed", None)]


def test_the_instances_of_an_app_are_one():
    app = Watched().hear(told(10, lag=60), told(13, lag=60, instance=1))
    assert app.account.breaches[Cause.LAG].found == "120 messages"


def test_two_instances_do_not_close_a_breach_in_one_window():
    app = Watched().hear(told(10, lag=200), told(13, instance=1), told(20), told(23, instance=1))
    assert app.words == [("Opened", "max_lag", None)]
    assert app.hear(told(30)).words[1:] == [("Closed", "max_lag", "recovered")]


def test_an_instance_that_was_scaled_away_is_forgotten():
    app = Watched().hear(told(10, lag=60), told(10, lag=60, instance=1))
    app.hear(*(told(end) for end in (20, 30, 40, 50)))
    assert list(app.account.reports) == ["platform-0"]


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([told(10, seconds=1, messages=30), told(10, seconds=5, messages=10)], (2.0, 0, 0.0)),
        ([told(10, messages=0, seconds=0)], (0.0, 0, 0.0)),
        ([told(10, messages=0, seconds=0, lag=5)], (None, 5, None)),
        ([told(10, lag=None)], (1.0, None, 0.0)),
        (
            [told(10, source="outside"), told(10, source="tenant", seconds=9, rejected=5, lag=7)],
            (1.0, 0, 0.5),
        ),
        ([told(10, source="outside", messages=4)], (1.0, 0, 0.0)),
        ([told(10), told(10, source="tenant", rejected=10)], (1.0, 0, 0.0)),
    ],
    ids=[
        "weighed by messages",
        "quiet",
        "stuck",
        "lag unknown",
        "rejects by the script's word",
        "no word of rejects",
        "no word against ours",
    ],
)
def test_the_figures_of_an_app(reports, expected):
    found = figures.combined(reports)
    assert (found.ingestion_seconds, found.lag, found.reject_ratio) == expected


def test_a_stuck_app_keeps_its_breach():
    app = Watched(agreed=AGREED.model_copy(update={"max_lag": None}))
    app.hear(told(10, seconds=9))
    app.hear(*(told(end, messages=0, seconds=0, lag=50) for end in (20, 30, 40)))
    assert app.words == [("Opened", "max_average_ingestion_time", None)]
