"""`mysimbdp check`."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mysimbdp import cli
from mysimbdp.agreements import schema

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("constraints", "tenant_pipelines"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.setenv("MYSIMBDP_HOME", str(tmp_path))
    return tmp_path


def check(*arguments):
    return CliRunner().invoke(cli.app, ["check", *arguments])


def test_a_good_tree_is_told_in_one_line_with_tenants_and_subdirectories(tree):
    result = check()

    assert result.exit_code == 0
    assert result.stdout == (
        "All agreements and registrations are valid: "
        "tenant1 (taxi, weather, weather.stream, weather-archive.stream, weather-slow.stream), "
        "tenant2 (taxi, cars, stations, blackbox, taxi.stream, taxi-script.stream).\n"
    )


def test_every_problem_of_every_file_is_told_on_a_line_of_its_own_and_the_exit_is_1(tree):
    agreement = tree / "constraints" / "tenant2.yaml"
    agreement.write_text(agreement.read_text().replace("350MB", "350").replace("basic", "gold"))
    pipelines = tree / "tenant_pipelines" / "tenant1" / "pipelines.yaml"
    pipelines.write_text(pipelines.read_text().replace("taxi:ingest", "taxi:load"))
    result = check()

    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        (
            "tenant_pipelines/tenant1/pipelines.yaml: batch.taxi.callable: "
            "expected the function taxi:load, found no function load in taxi.py, only ingest"
        ),
        (
            "constraints/tenant2.yaml: data_constraints.max_file_size: "
            "expected a size such as 350MB or 0.5GB (units B, KB, MB, GB, TB), found 350"
        ),
        "constraints/tenant2.yaml: plan: expected one of basic, standard, premium, found 'gold'",
        "3 problems in 2 files.",
    ]


def test_text_that_looks_like_markup_is_shown_as_it_is(tree):
    agreement = tree / "constraints" / "tenant2.yaml"
    agreement.write_text(agreement.read_text().replace("350MB", "'[red]350MB[/red]'"))

    assert "found '[red]350MB[/red]'" in check().stdout


def test_a_schema_of_another_version_is_a_problem_until_it_is_written_again(tree):
    path = tree / schema.AGREEMENT_SCHEMA
    path.write_text("{}")

    stale = check()
    assert stale.exit_code == 1
    assert "mysimbdp check --write-schema" in stale.stdout

    assert check("--write-schema").exit_code == 0
    assert path.read_text() == schema.agreement_schema_text()


def test_a_tree_without_tenants_is_no_problem(tree):
    for name in ("tenant1", "tenant2"):
        (tree / "constraints" / f"{name}.yaml").unlink()
        shutil.rmtree(tree / "tenant_pipelines" / name)
    result = check()

    assert (result.exit_code, result.stdout) == (0, "No tenant is committed yet.\n")
