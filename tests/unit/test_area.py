"""The staging area on disk."""

import os
import time
from datetime import date

import pytest

from mysimbdp.staging.area import QUIET_SECONDS, Area, scan, used_bytes

DAY = date(2026, 11, 22)


@pytest.fixture
def area(tmp_path):
    area = Area(tmp_path, "tenant1", "taxi")
    area.inbox.mkdir(parents=True)
    return area


def land(area, name, content="a,b\n1,2\n", age_seconds=60.0):
    path = area.inbox / name
    path.write_text(content)
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


def test_a_complete_file_is_ready(area):
    land(area, "trips.csv")

    assert area.ready() == ["trips.csv"]


def test_a_pattern_chooses_files(area):
    land(area, "a-1.csv")
    land(area, "b-1.csv")

    assert area.ready("a-*.csv") == ["a-1.csv"]


@pytest.mark.parametrize("name", [".hidden.csv", "trips.csv.part", "trips.csv.tmp", "trips.csv~"])
def test_a_hidden_or_unfinished_file_waits(area, name):
    land(area, name)

    assert area.ready() == []


def test_a_file_that_changed_a_moment_ago_waits(area):
    land(area, "fresh.csv", age_seconds=QUIET_SECONDS / 2)

    assert area.ready() == []


def test_a_file_that_somebody_has_open_for_writing_waits_until_it_is_closed(area):
    path = land(area, "growing.csv")
    with path.open("a"):
        os.utime(path, (1, 1))
        assert area.ready() == []

    os.utime(path, (1, 1))
    assert area.ready() == ["growing.csv"]


def test_a_writer_that_comes_while_we_look_harms_neither(area):
    """Whoever asks for a lease gets a signal when a writer comes; it must not end the process."""
    path = land(area, "busy.csv")
    for _ in range(200):
        with path.open("a") as writer:
            writer.write("x")
        area.ready()


def test_a_directory_in_the_inbox_is_not_a_file(area):
    (area.inbox / "folder.csv").mkdir()

    assert area.ready() == []


def test_links_and_pipes_are_listed_so_that_they_can_be_refused(area):
    (area.inbox / "link.csv").symlink_to("/etc/passwd")
    os.mkfifo(area.inbox / "pipe.csv")

    assert area.ready() == ["link.csv", "pipe.csv"]


def test_a_claimed_file_has_left_the_inbox_and_only_one_claim_wins(area):
    land(area, "trips.csv")

    assert area.claim("trips.csv", "first")
    assert not area.claim("trips.csv", "second")

    assert area.ready() == []
    assert (area.claimed("first") / "trips.csv").exists()
    assert not area.claimed("second").exists()


def test_a_claim_may_be_repeated(area):
    land(area, "trips.csv")

    assert area.claim("trips.csv", "first")
    assert area.claim("trips.csv", "first")


def test_a_settled_file_lies_in_the_archive_of_its_day(area):
    land(area, "trips.csv")
    area.claim("trips.csv", "first")

    area.settle("first", area.loaded(DAY))
    area.settle("first", area.loaded(DAY))

    (archived,) = area.archived("2026-11-22")
    assert (archived.ingestion, archived.name) == ("first", "trips.csv")
    assert archived.path.read_text() == "a,b\n1,2\n"
    assert area.archived("2026-11-*", "trips*") == [archived]
    assert area.archived("2026-11-21") == []


def test_a_rejected_file_lies_beside_its_reason(area):
    land(area, "trips.csv")
    area.claim("trips.csv", "first")

    folder = area.settle("first", area.rejected(DAY), {"error": "too large"})

    assert sorted(path.name for path in folder.iterdir()) == ["reason.json", "trips.csv"]
    assert '"error": "too large"' in (folder / "reason.json").read_text()


def test_a_name_of_255_bytes_is_claimed_and_settled(area):
    name = "x" * 251 + ".csv"
    land(area, name)

    area.claim(name, "first")
    folder = area.settle("first", area.rejected(DAY), {})

    assert (folder / name).exists()


def test_space_counts_what_waits_and_what_is_claimed_but_not_what_is_settled(area, tmp_path):
    for name in ("waits.csv", "claimed.csv", "loaded.csv"):
        land(area, name, "x" * 100)
    area.claim("claimed.csv", "one")
    area.claim("loaded.csv", "two")
    area.settle("two", area.loaded(DAY))

    assert used_bytes(tmp_path, "tenant1") == 200


def test_one_scan_finds_the_ready_files_of_every_tenant(area, tmp_path):
    other = Area(tmp_path, "tenant2", "cars")
    other.inbox.mkdir(parents=True)
    land(area, "trips.csv")
    land(other, "cars.json")
    land(other, "cars.json.part")
    area.claim("trips.csv", "one")
    land(area, "more.csv")

    assert scan(tmp_path) == {("tenant1", "taxi"): ["more.csv"], ("tenant2", "cars"): ["cars.json"]}
