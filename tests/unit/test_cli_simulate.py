"""`mysimbdp simulate`, as far as it goes without a broker: what cannot be sent is said at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs
import pytest
from typer.testing import CliRunner

from mysimbdp import errors, registry
from mysimbdp.cli import app

ROOT = Path(__file__).parents[2]


@pytest.fixture
def simulate(tmp_path, monkeypatch):
    """Give a function that runs the command and returns its error."""
    home, state = tmp_path / "home", tmp_path / "var"
    for folder in ("constraints", "tenant_pipelines"):
        shutil.copytree(ROOT / folder, home / folder)
    registrations = home / "tenant_pipelines" / "tenant1" / "pipelines.yaml"
    registrations.write_text(
        registrations.read_text().replace("topics:\n", "topics:\n  other: {}\n", 1)
        + "\n  lonely: {topics: [other], callable: weather_stream:archive, collections: {m: {}}}\n"
    )
    tenants = registry.load_tree(home)
    assert not [problem for tenant in tenants for problem in tenant.problems]
    only_batch = attrs.evolve(
        tenants[0],
        tenant="tenant3",
        registration=tenants[0].registration.model_copy(update={"streams": {}, "topics": {}}),
    )
    registry.publish(state / "registry.json", [*tenants, only_batch])
    monkeypatch.setenv("MYSIMBDP_HOME", str(home))
    monkeypatch.setenv("MYSIMBDP_STATE", str(state))
    for name in ("KAFKA_BROKER", "MYSIMBDP_KAFKA_PORT"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        result = CliRunner().invoke(app, ["simulate", *arguments])
        assert result.exit_code != 0
        assert result.exception is not None
        return result.exception if isinstance(result.exception, errors.PlatformError) else result

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("tenant9", "weather"), "No tenant tenant9 is registered"),
        (("tenant1", "snow"), "tenant1 has no stream app snow, only weather"),
        (("tenant3", "weather"), "tenant3 has no stream app weather"),
        (("tenant1", "lonely"), "no sample data for tenant1.lonely, only for the topics tenant1"),
        (("tenant1", "weather"), "kafka/tenants/tenant1 does not exist"),
        (("tenant1", "weather-archive"), "kafka/tenants/tenant1 does not exist"),
    ],
)
def test_what_cannot_be_sent_is_said_in_one_line(simulate, arguments, words):
    error = simulate(*arguments)
    assert words in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("option", [("--delay", "-1"), ("--count", "0"), ("--bad", "101")])
def test_impossible_options_are_refused(simulate, option):
    assert simulate("tenant1", "weather", *option).exit_code == 2
