"""Late batch runs: from Airflow's deadline to an alert in a real mongod, and its end."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pymongo
import pytest

from mysimbdp import naming
from mysimbdp.ledger import Ledger
from mysimbdp.orchestration import alerting_trigger, deadline, late_runs
from mysimbdp.reporting.alerts import AlertStore

PATIENCE_SECONDS = 30


@pytest.fixture
def alerts(parsing, tenant, mongod, platform_database, monkeypatch):
    """Give the alerts; the platform's connection leads to the test's mongod."""
    parsing(tenant)
    user = pymongo.uri_parser.parse_uri(mongod.url())
    connection = {
        "conn_type": "mongo",
        "host": "127.0.0.1",
        "port": mongod.port,
        "login": user["username"],
        "password": user["password"],
        "extra": {"directConnection": True, "authSource": "admin"},
    }
    name = f"AIRFLOW_CONN_{naming.PLATFORM_CONNECTION.upper()}"
    monkeypatch.setenv(name, json.dumps(connection))
    return AlertStore(platform_database)


def land(alerts, minutes_ago, state="loading"):
    Ledger(alerts.platform).open(
        {
            "_id": "20261123T120000-1",
            "tenant": "tenant1",
            "pipeline": "taxi",
            "dag_id": "tenant1.taxi",
            "run_id": "asset__1",
            "name": "a.csv",
            "state": state,
            "landed_at": datetime.now(UTC) - timedelta(minutes=minutes_ago),
        }
    )


def tell(run_type="asset_triggered"):
    """Call back as the triggerer does when the deadline of a run has passed."""
    fields = {"dag_run_id": "asset__1", "run_type": run_type, "end_date": None}
    context = {
        "dag_run": fields,
        "deadline": {"deadline_time": datetime.now(UTC).isoformat()},
    }
    call = deadline.open_alert("tenant1", "taxi", "30m", context)
    return asyncio.run(asyncio.wait_for(call, PATIENCE_SECONDS))


def test_a_late_run_is_one_alert_however_often_airflow_tells_it(alerts):
    land(alerts, minutes_ago=31)
    tell()
    tell()
    (document,) = alerts.find("tenant1")
    assert document["state"] == "open"
    assert document["found"] == "1 of 1 file(s) late, 1 not settled"
    assert document["expected"] == "every file loaded or rejected within 30m of its arrival"
    assert document["contacts"] == ["ops@tenant1.example"]
    (letter,) = alerts.letters_due(datetime.now(UTC))
    assert letter.latest.run_id == "asset__1"


def test_a_run_by_hand_that_still_waits_for_files_is_not_late(alerts):
    tell("manual")
    assert alerts.find() == []


def test_the_alert_is_closed_when_the_run_has_ended(alerts):
    land(alerts, minutes_ago=31, state="loaded")
    alerts.platform["ingestions"].update_one({}, {"$set": {"ended_at": datetime.now(UTC)}})
    tell()
    late_runs.EndedRuns(alerts.platform, lambda *_: False)()
    assert alerts.find()[0]["state"] == "open"
    late_runs.EndedRuns(alerts.platform, lambda *_: True)()
    (document,) = alerts.find()
    assert (document["state"], document["ending"]) == ("closed", "the run ended")
    assert document["ended_with"] == "1 loaded"


def test_the_watch_ends_for_the_mail_about_it_though_nobody_has_streams(alerts, monkeypatch):
    # Only a triggerer can ask Airflow whether a run has ended.
    monkeypatch.setattr(late_runs.EndedRuns, "__call__", lambda _: None)
    land(alerts, minutes_ago=31)
    tell()

    async def first():
        until = datetime.now(UTC) + timedelta(seconds=PATIENCE_SECONDS)
        events = alerting_trigger.AlertingTrigger(until.isoformat()).run()
        return (await anext(events)).payload

    assert asyncio.run(first()) == {"due": True}
