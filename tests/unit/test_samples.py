"""The samples are what they say, and the same everywhere."""

from __future__ import annotations

import csv
import hashlib
import os
import stat
import subprocess
import sys
import zipfile
from datetime import datetime

import msgspec
import pytest
from lxml import etree

from mysimbdp import errors, naming
from mysimbdp.agreements import admission
from mysimbdp.agreements.model import Agreement, FileType
from mysimbdp.batch import inspect
from mysimbdp.samples import public, taxi, violations

MEGABYTE = 2**20
REJECTED = [
    sample
    for sample in violations.SAMPLES
    if sample.outcome == violations.Outcome.REJECTED and sample.code != "duplicate"
]


def agreement(file_types, max_file_size, storage_space_staging):
    return Agreement.model_validate(
        {
            "data_constraints": {"file_types": file_types, "max_file_size": max_file_size},
            "service_agreement": {
                "max_throughput": "5MB/s",
                "max_concurrent_ingestions": 2,
                "storage_space_staging": storage_space_staging,
                "max_memory": "2GB",
            },
            "contacts": ["data@tenant.example"],
        }
    )


AGREEMENTS = {
    "tenant1": agreement(["CSV"], "500GB", "900GB"),
    "tenant2": agreement(["CSV", "JSON", "XML"], "350MB", "0.5GB"),
}


@pytest.fixture
def trips(tmp_path):
    path = tmp_path / "trips.csv"
    taxi.write_taxi(path, rows=5_000)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def by_name(name):
    (sample,) = [sample for sample in violations.SAMPLES if sample.name == name]
    return sample


def test_a_taxi_file_has_the_rows_and_columns_asked_for(trips):
    assert len(trips) == 5_000
    assert tuple(trips[0]) == taxi.COLUMNS
    assert all(len(row) == len(taxi.COLUMNS) and None not in row.values() for row in trips)


def test_a_taxi_row_has_about_142_bytes(tmp_path):
    taxi.write_taxi(tmp_path / "trips.csv", rows=20_000)
    assert (tmp_path / "trips.csv").stat().st_size / 20_000 == pytest.approx(142, abs=1)


def test_a_taxi_file_keeps_to_the_size_asked_for_and_ends_with_a_whole_row(tmp_path):
    path = tmp_path / "trips.csv"
    rows = taxi.write_taxi(path, size_bytes=20 * MEGABYTE)
    assert 20 * MEGABYTE - 300 < path.stat().st_size <= 20 * MEGABYTE
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == rows + 1
    assert lines[-1].endswith(b"\n")
    assert len(next(csv.reader([lines[-1].decode()]))) == len(taxi.COLUMNS)


def test_a_larger_taxi_file_starts_with_the_smaller_one(tmp_path):
    taxi.write_taxi(tmp_path / "small.csv", rows=300)
    taxi.write_taxi(tmp_path / "large.csv", rows=100_300)
    small = (tmp_path / "small.csv").read_bytes()
    assert (tmp_path / "large.csv").read_bytes().startswith(small)


def test_the_same_seed_gives_the_same_bytes_everywhere(tmp_path):
    taxi.write_taxi(tmp_path / "trips.csv", rows=1_000, seed=7)
    digest = hashlib.sha256((tmp_path / "trips.csv").read_bytes()).hexdigest()
    assert digest == "aab9f76919457c7f561c620ba1bec3420258144fba3581327c96f9873eb1ec42"


def test_trip_ids_have_19_digits_and_are_shared_by_no_other_seed(tmp_path, trips):
    taxi.write_taxi(tmp_path / "other.csv", rows=5_000, seed=1)
    with (tmp_path / "other.csv").open(newline="") as file:
        others = {row["trip_id"] for row in csv.DictReader(file)}
    ids = {row["trip_id"] for row in trips}
    assert len(ids) == 5_000
    assert not ids & others
    assert all(len(text) == 19 and int(text) < 2**63 for text in ids | others)


def test_about_a_tenth_of_some_columns_is_missing_and_the_word_na_is_not_missing(trips):
    for column in ("passenger_count", "rate_code", "store_and_fwd_flag", "tip_amount", "note"):
        missing = sum(row[column] == "" for row in trips)
        assert missing / len(trips) == pytest.approx(0.1, abs=0.02)
    assert any(row["note"] == "NA" for row in trips)
    assert all(row["fare_amount"] and row["trip_id"] for row in trips)


def test_notes_hold_commas_and_quotes_and_vendor_ids_lead_with_zeros(trips):
    assert any("," in row["note"] for row in trips)
    assert any('"' in row["note"] for row in trips)
    assert "00123" in {row["vendor_id"] for row in trips}


def test_trips_end_after_they_began_and_totals_add_up_to_the_cent(trips):
    for row in trips:
        assert datetime.fromisoformat(row["pickup_datetime"]) < datetime.fromisoformat(
            row["dropoff_datetime"]
        )
        cents = [round(float(row[name] or 0) * 100) for name in ("fare_amount", "tip_amount")]
        assert sum(cents) == round(float(row["total_amount"]) * 100)


def test_refunds_come_in_the_ratio_asked_for(tmp_path):
    taxi.write_taxi(tmp_path / "trips.csv", rows=5_000, refund_ratio=0.5)
    with (tmp_path / "trips.csv").open(newline="") as file:
        refunds = sum(float(row["fare_amount"]) < 0 for row in csv.DictReader(file))
    assert refunds == pytest.approx(2_500, abs=150)


@pytest.mark.parametrize("size", [{}, {"rows": 1, "size_bytes": 1}])
def test_a_taxi_file_needs_rows_or_a_size_and_not_both(tmp_path, size):
    with pytest.raises(errors.UsageError, match="number of rows or the size"):
        taxi.write_taxi(tmp_path / "trips.csv", **size)


def test_the_public_sets_are_written_in_every_supported_format(tmp_path):
    paths = {path.name: path for path in public.write_public(tmp_path / "public")}
    with paths[public.WEATHER].open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 1_461
    array = msgspec.json.decode(paths[public.CARS_ARRAY].read_bytes())
    lines = paths[public.CARS_LINES].read_bytes().splitlines()
    assert [msgspec.json.decode(line) for line in lines] == array
    assert len(array) == 406
    stations = etree.parse(paths[public.STATIONS]).getroot()
    assert len(stations) == public.STATION_COUNT
    assert stations[0].get("code") == "00M"
    assert float(stations[0].findtext("latitude")) == pytest.approx(31.95, abs=0.01)


@pytest.mark.parametrize("sample", violations.SAMPLES, ids=lambda sample: sample.name)
def test_each_sample_names_its_tenant_its_file_and_what_becomes_of_it(sample, tmp_path):
    path = sample.make(tmp_path)
    assert path.parent == tmp_path
    assert path.is_symlink() or path.is_file()
    assert naming.is_tenant(sample.tenant)
    assert naming.is_subdirectory(sample.subdirectory)
    explained = {violations.Outcome.REJECTED, violations.Outcome.FAILED}
    assert (sample.code is not None) == (sample.outcome in explained)
    assert sample.why.endswith(".")


@pytest.mark.parametrize("sample", REJECTED, ids=lambda sample: sample.name)
def test_admission_finds_the_violation_that_a_sample_is_for(sample, tmp_path):
    path = sample.make(tmp_path)
    surroundings = inspect.Surroundings(
        tenant=sample.tenant,
        shown_path=path.name,
        staging_used_bytes=sum(entry.lstat().st_size for entry in tmp_path.iterdir()),
        running=0,
    )
    found = admission.judge(
        inspect.inspect(path, surroundings), AGREEMENTS[sample.tenant], tuple(FileType)
    )
    allowed_besides = {"path_traversal"} if path.is_symlink() else set()
    assert {violation.code for violation in found} - allowed_besides == {sample.code}


def test_sample_names_are_unique():
    names = [sample.name for sample in violations.SAMPLES]
    assert len(set(names)) == len(names)


def test_the_large_samples_take_hardly_any_disk(tmp_path):
    path = by_name("file too large").make(tmp_path)
    assert path.stat().st_size == 351 * MEGABYTE
    assert path.stat().st_blocks * 512 < MEGABYTE
    assert path.read_bytes()[:8] == b"trip_id,"


def test_the_staging_space_sample_holds_more_than_half_a_gigabyte(tmp_path):
    by_name("staging space used up").make(tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 512 * MEGABYTE


def test_the_disguised_samples_are_not_what_their_names_say(tmp_path):
    assert by_name("program named .csv").make(tmp_path).read_bytes().startswith(b"\x7fELF")
    assert zipfile.is_zipfile(by_name("archive named .csv").make(tmp_path))
    assert msgspec.json.decode(by_name("JSON named .csv").make(tmp_path).read_bytes())


def test_the_unreadable_sample_gives_nobody_the_right_to_read(tmp_path):
    path = by_name("unreadable file").make(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0


def test_the_duplicate_sample_has_the_same_bytes_under_a_later_name(tmp_path):
    path = by_name("same content again").make(tmp_path)
    first, second = sorted(tmp_path.iterdir())
    assert path == second
    assert first.read_bytes() == second.read_bytes()


def test_the_bad_row_samples_stay_below_and_far_above_a_tolerance_of_a_few_percent(tmp_path):
    def ratio(path):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return sum(float(row["fare_amount"]) < 0 for row in rows) / len(rows)

    assert 0 < ratio(by_name("a few bad rows").make(tmp_path)) < 0.01
    assert ratio(by_name("too many bad rows").make(tmp_path)) > 0.4


def test_one_command_writes_and_lists_the_whole_set_and_may_be_run_again(tmp_path):
    command = [sys.executable, "-m", "mysimbdp.samples", str(tmp_path), "--taxi-rows", "100"]
    environment = os.environ | {"COLUMNS": "200"}
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "data/trips.csv" in done.stdout
    assert len(list((tmp_path / "violations").iterdir())) == len(violations.SAMPLES)
    assert all(sample.why in done.stdout for sample in violations.SAMPLES)
