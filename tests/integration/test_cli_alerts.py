import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from mysimbdp import cli
from mysimbdp.reporting.alert import Alert, Kind
from mysimbdp.reporting.alerts import AlertStore

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def command(mongod, tmp_path, monkeypatch):
    """Give a function that runs `mysimbdp alerts`."""
    for name in ("constraints", "tenant_pipelines"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("MYSIMBDP_HOME", str(tmp_path))
    monkeypatch.setenv("MONGO_URL", mongod.url())
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        result = CliRunner().invoke(cli.app, ["alerts", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.fixture
def alerts(platform_database):
    """Give the alerts: one open, of tenant1, and one closed, of tenant2."""
    store = AlertStore(platform_database)
    for tenant in ("tenant1", "tenant2"):
        breach = Alert(
            tenant=tenant,
            kind=Kind.STREAM,
            name="weather",
            cause="max_lag",
            expected="at most 100 messages waiting",
            found="5,321 messages",
            opened_at=NOON,
            contacts=("ops@tenant.example",),
        )
        store.open(breach)
    store.close(breach.subject, NOON, NOON, "recovered", "0 messages")
    return store


def test_without_alerts_it_says_so(command, platform_database):
    assert command() == "No alerts.\n"


def test_each_alert_is_a_line_with_agreed_found_and_state(command, alerts):
    output = command()
    assert "tenant1.weather" in output
    assert "tenant2.weather" in output
    for text in ("max_lag", "at most 100 messages waiting", "5,321 messages", "open", "recovered"):
        assert text in output


def test_one_tenants_and_the_open_ones_only(command, alerts):
    assert "tenant1" not in command("--tenant", "tenant2")
    assert "tenant2" not in command("--open")


def test_json_has_everything_recorded(command, alerts):
    first, second = json.loads(command("--json"))
    assert (first["state"], second["state"]) == ("open", "closed")
    assert first["opened_at"] == "2026-11-23T12:00:00.000Z"
    assert second["mails"][1] == {"kind": "closed", "sent_at": None}
