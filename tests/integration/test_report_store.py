import json
from datetime import UTC, datetime, timedelta

import pytest
import typer
from typer.testing import CliRunner

from mysimbdp import errors
from mysimbdp.cli import ingestions
from mysimbdp.reporting import report, store

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
TOO_LARGE = "File staging/tenant2/taxi/[bold]huge.csv is too large (428118778 > 350MB). " * 5


def document(number, tenant="tenant1", state="loaded", **fields):
    at = START + timedelta(seconds=number)
    times = {"landed_at": at, "claimed_at": at}
    if state != "rejected":
        times |= {"started_at": at, "ended_at": at + timedelta(seconds=2), "duration_seconds": 2.0}
    return {
        "_id": f"20261122T1200{number:02}",
        "tenant": tenant,
        "pipeline": "taxi",
        "name": f"taxi-{number}.csv",
        "path": f"staging/{tenant}/taxi/taxi-{number}.csv",
        "size_bytes": 10 * 2**20,
        "state": state,
        "rows_stored": 1000,
        "rows_rejected": 3,
        "violations": [],
        "isolation": "landlock",
        **times,
        **fields,
    }


@pytest.fixture
def reports(platform_database):
    platform_database.ingestions.insert_many(
        [
            document(3, "tenant2"),
            document(1),
            document(
                2,
                "tenant2",
                "rejected",
                name="[bold]huge.csv",
                violations=[{"code": "too_large", "message": TOO_LARGE.strip()}],
            ),
            document(4, state="failed", cause="timeout", error="It ran longer than 30m."),
        ]
    )
    return store.ReportStore(platform_database)


def names(found):
    return [each.name for each in found]


def test_reports_come_newest_last(reports):
    assert names(reports.find()) == ["taxi-1.csv", "[bold]huge.csv", "taxi-3.csv", "taxi-4.csv"]


def test_reports_are_found_by_tenant_and_state(reports):
    assert names(reports.find(tenant="tenant2")) == ["[bold]huge.csv", "taxi-3.csv"]
    assert names(reports.find(tenant="tenant2", state="loaded")) == ["taxi-3.csv"]


def test_the_last_ones_are_the_newest_still_in_order(reports):
    assert names(reports.find(last=2)) == ["taxi-3.csv", "taxi-4.csv"]


def test_a_report_has_aware_times_reasons_and_speed(reports):
    first, rejected, _, failed = reports.find()
    assert first.started_at == START + timedelta(seconds=1)
    assert first.megabytes_per_second == 5.0
    assert first.success
    assert rejected.reasons == (TOO_LARGE.strip(),)
    assert rejected.megabytes_per_second is None
    assert failed.reasons == ("timeout: It ran longer than 30m.",)
    assert failed.state is report.State.FAILED


def test_a_server_that_is_down_is_named_without_the_password(free_port, monkeypatch):
    monkeypatch.setattr(store, "_PATIENCE_MILLISECONDS", 200)
    port = free_port()
    url = f"mongodb://someone:hush-hush@127.0.0.1:{port}/"
    with (
        store.opened(url) as reports,
        pytest.raises(errors.ServiceUnavailableError, match=f"127.0.0.1:{port}") as caught,
    ):
        reports.find()
    assert "hush-hush" not in str(caught.value)


def test_a_refused_login_is_a_matter_of_configuration(mongod):
    url = f"mongodb://someone:wrong@127.0.0.1:{mongod.port}/?directConnection=true"
    with store.opened(url) as reports, pytest.raises(errors.ConfigurationError):
        reports.find()


@pytest.fixture
def run(mongod, monkeypatch):
    """Run the commands against the mongod of the tests."""
    monkeypatch.setenv("MYSIMBDP_HOME", str(mongod.settings.home))
    monkeypatch.setenv("MYSIMBDP_STATE", str(mongod.settings.state))
    monkeypatch.setenv("MYSIMBDP_MONGO_PORT", str(mongod.port))
    monkeypatch.delenv("MONGO_URL", raising=False)
    app = typer.Typer()
    ingestions.register(app)

    def command(*words):
        return CliRunner().invoke(app, [*map(str, words)])

    return command


def test_the_table_has_one_line_a_file_with_its_whole_reason(run, reports):
    lines = run("ingestions").output.splitlines()
    (rejected,) = [line for line in lines if "rejected" in line and "huge" in line]
    assert "[bold]huge.csv" in rejected
    assert TOO_LARGE.strip() in rejected
    (loaded,) = [line for line in lines if "taxi-1.csv" in line]
    assert all(word in loaded for word in ("tenant1", "taxi", "loaded", "1,000", "3", "5.00"))


def test_json_tells_everything_recorded_with_iso_dates(run, reports):
    found = json.loads(run("ingestions", "--tenant", "tenant1", "--last", 1, "--json").output)
    assert [each["_id"] for each in found] == ["20261122T120004"]
    assert found[0]["started_at"] == "2026-11-22T12:00:04.000Z"
    assert found[0]["isolation"] == "landlock"


def test_no_ingestions_is_said_and_is_an_empty_json_list(run, platform_database):
    assert run("ingestions").output == "No ingestions.\n"
    assert json.loads(run("ingestions", "--json").output) == []


def test_the_report_prints_statistics_and_writes_both_plots(run, reports, tmp_path):
    result = run("report", "--out", tmp_path / "report")
    assert result.exit_code == 0, result.exception
    written = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert written == [
        "report.json",
        "throughput_vs_concurrent_ingestions.png",
        "total_throughput_vs_concurrent_ingestions.png",
    ]
    assert all(f"Written: {tmp_path / 'report' / name}" in result.output for name in written)
    content = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [(each["tenant"], each["successes"]) for each in content["tenants"]] == [
        ("tenant1", 1),
        ("tenant2", 1),
    ]
    assert content["all"]["failed"] == 1
    assert content["all"]["average_megabytes_per_second"] == 5.0


def test_a_report_of_rejected_files_only_says_why_there_are_no_plots(
    run, platform_database, tmp_path
):
    platform_database.ingestions.insert_one(document(1, state="rejected"))
    result = run("report", "--out", tmp_path)
    assert "No plots: none of these files has run" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_nothing_settled_is_nothing_to_report(run, platform_database, tmp_path):
    result = run("report", "--out", tmp_path, "--tenant", "tenant1")
    assert isinstance(result.exception, errors.UsageError)
    assert "nothing to report yet" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
