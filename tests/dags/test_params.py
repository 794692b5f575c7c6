from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import ParamValidationError

from mysimbdp.orchestration import params

FIELDS = {"files": "*", "wait_minutes": 10}


def resolve(files):
    field = params.form()["files"]
    field.value = files
    return field.resolve()


@pytest.mark.parametrize(
    "files",
    ["*", "trips.csv", "2026-11-*.csv", "loaded/2026-11-22/*", "loaded/*/trips.csv", "a b (1).csv"],
)
def test_the_form_takes_names_and_patterns_of_the_inbox_and_the_archive(files):
    assert resolve(files) == files


@pytest.mark.parametrize(
    "files",
    [
        *("", "/etc/passwd", "../other/x", "loaded/../x", "loaded/2026-11-22/../x", "a/b.csv"),
        *("loaded/2026-11-22/", "rejected/2026-11-22/x", "a\nb", "a\\b", "x" * 256, "..", ".x"),
        *(7, None),
    ],
)
def test_the_form_refuses_what_could_leave_the_tenants_folders(files):
    with pytest.raises(ParamValidationError):
        resolve(files)


@pytest.mark.parametrize("minutes", [-1, 100_000, "ten"])
def test_the_form_refuses_an_impossible_wait(minutes):
    field = params.form()["wait_minutes"]
    field.value = minutes
    with pytest.raises(ParamValidationError):
        field.resolve()


def test_a_run_that_fills_in_nothing_takes_valid_defaults():
    assert {name: field.resolve() for name, field in params.form().items()} == FIELDS


def test_every_field_explains_itself():
    for field in params.form().values():
        assert field.schema["title"]
        assert len(field.schema["description_md"]) > 40


def test_a_run_by_hand_waits_for_files_of_the_inbox():
    wanted = params.wanted(FIELDS | {"files": "*.csv"}, "manual", datetime.now(UTC))
    assert (wanted.pattern, wanted.days) == ("*.csv", None)
    assert wanted.patience == timedelta(minutes=10)


def test_a_run_by_hand_does_not_wait_for_the_archive():
    wanted = params.wanted(FIELDS | {"files": "loaded/2026-11-*/a*.csv"}, "manual", None)
    assert (wanted.days, wanted.names, wanted.pattern) == (
        "2026-11-*",
        "a*.csv",
        "loaded/2026-11-*/a*.csv",
    )
    assert not wanted.patience


def test_a_landed_file_starts_a_run_that_does_not_wait():
    wanted = params.wanted(FIELDS, "asset_triggered", None)
    assert (wanted.pattern, wanted.by_hand) == ("*", False)
    assert not wanted.patience


@pytest.mark.parametrize("files", ["*.csv", "loaded/2025-01-01/*.csv"])
def test_a_backfill_looks_in_the_archive_of_its_own_day(files):
    day = datetime(2026, 11, 21, tzinfo=UTC)
    wanted = params.wanted(FIELDS | {"files": files}, "backfill", day)
    assert wanted.pattern == "loaded/2026-11-21/*.csv"
    assert not wanted.by_hand
