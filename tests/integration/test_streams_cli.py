import json
import threading
import time

import attrs
import pytest
from typer.testing import CliRunner

from mysimbdp import errors, registry
from mysimbdp.agreements.model import Agreement
from mysimbdp.cli import app, stream_orders
from mysimbdp.pipelines.registration import Registration
from mysimbdp.secrets import SecretStore
from mysimbdp.streaming.store import StreamStore

AGREEMENT = {
    "data_constraints": {"file_types": ["CSV"], "max_file_size": "1MB"},
    "service_agreement": {
        "max_throughput": "5MB/s",
        "max_concurrent_ingestions": 2,
        "storage_space_staging": "1GB",
        "max_memory": "1GB",
    },
    "streams": {"max_publish_rate": "1MB/s", "max_consume_rate": "1MB/s", "max_instances": 3},
    "contacts": ["ops@tenant1.example"],
}
STREAM = {"topics": ["t"], "callable": "m:f", "collections": {"c": {}}}


@attrs.define
class Terminal:
    """The command line, and a supervisor's hand in the real store."""

    store: StreamStore

    def run(self, *arguments):
        """Run a command; return what it prints, or raise its error."""
        result = CliRunner().invoke(app, ["streams", *arguments])
        if isinstance(result.exception, errors.PlatformError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    def listed(self, *arguments):
        return json.loads(self.run("list", "--json", *arguments))

    def supervise(self, tenant, state="running", **facts):
        """Beat once for an app with two instances; return its epoch."""
        epoch = self.store.take_over(tenant, "weather", "run 1")
        instances = [{"number": n, "pid": 70 + n, "state": state} for n in range(2)]
        self.store.beat(tenant, "weather", epoch, state, instances, **facts)
        return epoch


@pytest.fixture
def terminal(mongod, platform_database, tmp_path, monkeypatch):
    for name in ("AIRFLOW_USERNAME", "AIRFLOW_URL"):
        monkeypatch.delenv(name, raising=False)
    places = {
        "MYSIMBDP_HOME": str(tmp_path),
        "MYSIMBDP_STATE": str(tmp_path / "var"),
        "MYSIMBDP_MONGO_PORT": str(mongod.port),
        "MYSIMBDP_AIRFLOW_PORT": "1",
    }
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    secrets = SecretStore(tmp_path / "var" / "secrets")
    secrets.write("mongo/platform", "unused")
    secrets.write("airflow/admin", "unused")
    # The fixture's mongod has no user `platform`: the administrator takes its place.
    monkeypatch.setattr(stream_orders.coredms, "platform_url", lambda *_: mongod.url())
    tenants = [
        registry.RegisteredTenant(
            tenant=tenant,
            agreement=Agreement.model_validate(AGREEMENT),
            registration=Registration.model_validate(
                {"topics": {"t": {}}, "streams": {"weather": STREAM}}
            ),
        )
        for tenant in ("tenant1", "tenant2")
    ]
    registry.publish(tmp_path / "var" / "registry.json", tenants)
    return Terminal(StreamStore(platform_database))


def test_an_app_that_was_never_started_is_listed_as_stopped(terminal):
    (one,) = terminal.listed("--tenant", "tenant2")
    assert (one["tenant"], one["app"]) == ("tenant2", "weather")
    assert (one["desired"], one["actual"], one["instances"]) == ("stopped", "stopped", [])
    assert len(terminal.listed()) == 2


def test_a_running_app_is_listed_with_its_figures_and_processes(terminal):
    terminal.store.want("tenant1", "weather", by="ops", state="running", instances=2)
    last = "2026-11-23T10:00:00+00:00"
    terminal.supervise("tenant1", lag=1200, rate=3.25, last_message_at=last, total=9, rejected=1)
    one, _ = terminal.listed()
    assert (one["desired"], one["actual"], one["epoch"], one["by"]) == (
        "running",
        "running",
        1,
        "ops",
    )
    assert (one["lag"], one["rate"], one["total"], one["rejected"]) == (1200, 3.25, 9, 1)
    assert [instance["pid"] for instance in one["instances"]] == [70, 71]
    table = terminal.run("list")
    for figure in ("tenant1.weather", "2/2", "1,200", "3.2", last):
        assert figure in table


def test_a_failed_app_says_why(terminal):
    terminal.supervise("tenant1", "failed", cause="topic_missing", error="it\nis gone")
    assert r"tenant1.weather: topic_missing: it\nis gone" in terminal.run("list")


def test_a_stop_waits_until_the_app_has_drained_and_says_what_it_did(terminal):
    terminal.store.want("tenant1", "weather", by="ops", state="running", instances=2)
    epoch = terminal.supervise("tenant1")

    def drain():
        while terminal.store.wish("tenant1", "weather").runs:
            time.sleep(0.05)
        facts = {"total": 1234, "rejected": 5, "kills": 0}
        terminal.store.beat("tenant1", "weather", epoch, "draining", [], **facts)
        time.sleep(1)
        terminal.store.beat("tenant1", "weather", epoch, "stopped", [], **facts)

    supervisor = threading.Thread(target=drain)
    supervisor.start()
    told = terminal.run("stop", "tenant1", "weather")
    supervisor.join()
    assert told == (
        "tenant1.weather is stopped: 1,234 messages since its start, 5 rejected; all instances "
        "drained, everything taken is stored and committed.\n"
    )
    assert terminal.listed()[0]["actual"] == "stopped"


def test_stopping_what_does_not_run_is_no_error(terminal):
    assert "is not running" in terminal.run("stop", "tenant1", "weather")


@pytest.mark.parametrize(
    "command", [("scale", "tenant1", "weather", "2"), ("restart", "tenant1", "weather")]
)
def test_what_does_not_run_cannot_be_scaled_or_restarted(terminal, command):
    with pytest.raises(errors.UsageError, match="Start it first: mysimbdp streams start"):
        terminal.run(*command)


def test_more_instances_than_agreed_are_refused_before_airflow_is_asked(terminal):
    with pytest.raises(errors.UsageError, match="between 1 and 3, as agreed; found '4'"):
        terminal.run("start", "tenant1", "weather", "--instances", "4")


def test_an_app_that_is_not_registered_is_refused_by_name(terminal):
    with pytest.raises(errors.TenantUnknownError, match="tenant1 has no stream app nope"):
        terminal.run("stop", "tenant1", "nope")


def test_a_start_needs_airflow_and_says_so(terminal):
    with pytest.raises(errors.ServiceUnavailableError, match="does not answer"):
        terminal.run("start", "tenant1", "weather")
    assert terminal.store.read("tenant1", "weather") == {}
