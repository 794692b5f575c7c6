import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from airflow.serialization.serialized_objects import DagSerialization

from mysimbdp import errors
from mysimbdp.agreements.quantity import Duration
from mysimbdp.orchestration import alerting_tasks, alerting_trigger, deadline, late_runs

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AGREED = Duration("30m")
PATIENCE_SECONDS = 10


@pytest.fixture
def dag(parsing):
    bag = attrs.evolve(parsing, file="alerting.py")()
    assert not bag.import_errors
    return bag.dags["alerting"]


def test_alerting_goes_on_for_ever_one_run_at_a_time(dag):
    assert dag.schedule == "@continuous"
    assert dag.max_active_runs == 1
    assert not dag.is_paused_upon_creation


def test_each_run_is_followed_by_another_one(dag):
    serialised = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    first = serialised.next_dagrun_info(last_automated_run_info=None)
    second = serialised.next_dagrun_info(last_automated_run_info=first)
    assert second.logical_date > first.logical_date


def test_no_tenant_may_see_or_start_it(dag):
    assert dag.access_control is None
    assert dag.tags == {"platform", "alerting"}


def test_mails_go_out_even_when_an_action_fails(dag):
    assert dag.task_dict["notify"].trigger_rule == "none_skipped"
    assert dag.task_dict["notify"].upstream_task_ids == {"act"}


def test_every_task_is_tried_again_when_a_server_is_away(dag):
    serialised = DagSerialization.to_dict(dag)["dag"]
    for entry in serialised["tasks"]:
        values = entry["__var"] | entry["__var"].get("partial_kwargs", {})
        assert values["has_retry_policy"]
        assert values["retries"] == 8


def test_the_page_says_what_happens_and_what_to_do(dag):
    for text in ("on_breach", "15 minutes", "mysimbdp alerts", "smtp_default"):
        assert text in dag.doc_md


def test_watching_takes_no_worker_and_ends_within_the_lease(dag):
    with pytest.raises(TaskDeferred) as deferred:
        dag.task_dict["watch_metrics"].execute({})
    path, kwargs = deferred.value.trigger.serialize()
    assert path == "mysimbdp.orchestration.alerting_trigger.AlertingTrigger"
    remaining = datetime.fromisoformat(kwargs["until"]) - datetime.now(UTC)
    assert timedelta(0) < remaining <= alerting_tasks.LEASE


def test_without_anything_to_do_the_rest_is_skipped(dag):
    watch = dag.task_dict["watch_metrics"]
    watch.execute_complete({}, {"due": True})
    with pytest.raises(AirflowSkipException):
        watch.execute_complete({}, {"due": False})


def watching(until, attempt, monkeypatch):
    """Run the trigger with another watch; return its event."""
    monkeypatch.setattr(alerting_trigger.AlertingTrigger, "_watch_once", attempt)
    monkeypatch.setattr(alerting_trigger, "RECOVERY_SECONDS", 0.01)

    async def first():
        events = alerting_trigger.AlertingTrigger(until.isoformat()).run()
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await anext(events)).payload

    return asyncio.run(first())


def soon():
    return datetime.now(UTC) + timedelta(minutes=1)


def test_the_watch_goes_on_after_a_server_was_away_or_a_connection_missing(monkeypatch):
    troubles = [errors.ServiceUnavailableError("away"), errors.ConfigurationError("no such"), None]

    def attempt(trigger, until):
        if trouble := troubles.pop(0):
            raise trouble
        return True

    assert watching(soon(), attempt, monkeypatch) == {"due": True}
    assert troubles == []


def test_the_lease_ends_a_watch_even_while_servers_are_away(monkeypatch):
    def attempt(trigger, until):
        raise errors.ServiceUnavailableError

    until = datetime.now(UTC) + timedelta(seconds=0.2)
    assert watching(until, attempt, monkeypatch) == {"due": False}


def test_the_event_loop_is_free_while_it_is_watched(monkeypatch):
    release = threading.Event()

    async def scene():
        events = alerting_trigger.AlertingTrigger(soon().isoformat()).run()
        heard = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        release.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await heard).payload

    def attempt(trigger, until):
        return release.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(alerting_trigger.AlertingTrigger, "_watch_once", attempt)
    assert asyncio.run(scene()) == {"due": True}


def test_a_cancelled_watch_ends_its_thread(monkeypatch):
    ended = threading.Event()

    def attempt(trigger, until):
        trigger._ended.wait(PATIENCE_SECONDS)
        ended.set()
        return False

    monkeypatch.setattr(alerting_trigger.AlertingTrigger, "_watch_once", attempt)

    async def scene():
        heard = asyncio.ensure_future(
            anext(alerting_trigger.AlertingTrigger(soon().isoformat()).run())
        )
        await asyncio.sleep(0.05)
        heard.cancel()
        await asyncio.wait([heard])

    asyncio.run(scene())
    assert ended.wait(PATIENCE_SECONDS)


def test_runs_have_the_agreed_deadline(parsing, renamed, tenant):
    objectives = tenant.agreement.objectives.model_copy(update={"settled_within": AGREED})
    agreement = tenant.agreement.model_copy(update={"objectives": objectives})
    dag = parsing(renamed(agreement=agreement)).dags["tenant1.taxi"]
    (alert,) = dag.deadline
    assert alert.interval == timedelta(minutes=30)
    assert alert.callback.path == "mysimbdp.orchestration.deadline.open_alert"
    json.dumps(DagSerialization.to_dict(dag))
    assert "| Files settled within | 30m (1800 s) of their arrival" in dag.doc_md


def test_without_an_agreed_time_there_is_no_deadline(parsing, tenant):
    dag = parsing(tenant).dags["tenant1.taxi"]
    assert not dag.deadline
    assert "| Files settled within | not promised |" in dag.doc_md


def test_the_callback_is_importable_by_its_path():
    assert asyncio.iscoroutinefunction(deadline.open_alert)


def run_of(run_type="asset_triggered", ended_at=None):
    return late_runs.Missed(run_id="r", run_type=run_type, ended_at=ended_at, deadline_at=NOON)


def file(name, state="loading", landed=30, ended=None, **fields):
    """Make an ingestion; figures are minutes before noon."""
    minutes = {"landed_at": landed, "ended_at": ended}
    times = {
        key: None if value is None else NOON - timedelta(minutes=value)
        for key, value in minutes.items()
    }
    return {"_id": name, "state": state, **times, **fields}


@pytest.mark.parametrize(
    ("documents", "run", "verdict"),
    [
        ([], run_of(), "no file is claimed yet"),
        ([], run_of("manual"), None),
        ([file("a", landed=31)], run_of(), "1 of 1 file(s) late, 1 not settled"),
        ([file("a", "loaded", landed=40, ended=9)], run_of(), "1 of 1 file(s) late, 0 not settled"),
        ([file("a", "loaded", landed=20, ended=9)], run_of(), None),
        ([file("a", landed=20)], run_of("manual"), NOON + timedelta(minutes=10)),
        ([file("a", landed=9000, reingested=True)], run_of("manual"), None),
    ],
    ids=[
        "nothing claimed",
        "a run by hand that waits",
        "late",
        "settled too late",
        "in time",
        "arrived later",
        "from the archive",
    ],
)
def test_files_are_judged_by_their_own_arrival(documents, run, verdict):
    assert late_runs.judge(documents, run, AGREED, NOON) == verdict


def callback(**run):
    fields = {"dag_run_id": "r", "run_type": "asset_triggered", "end_date": None, **run}
    context = {"dag_run": fields, "deadline": {"deadline_time": NOON}}
    return asyncio.run(deadline.open_alert("tenant1", "taxi", "30m", context))


def test_a_run_that_failed_in_time_is_not_late():
    assert callback(end_date="2026-11-23T11:59:00Z") == "nothing is late"


def test_a_backfilled_day_has_no_deadline():
    assert callback(run_type="backfill") == "nothing is late"
