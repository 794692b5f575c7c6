"""JSON lines on disk: every document once, whatever happens to the process that writes them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime

import bson
import pytest

from mysimbdp import errors
from mysimbdp.sinks import encode, files
from mysimbdp.sinks.files import FileSink

TOPIC_ID = "aB3-dE_fGhIjKlMnOpQrSt"


def open_sink(folder, *, name="weather-3", topic_id=TOPIC_ID, **options):
    return FileSink(folder, "readings", name, topic_id=topic_id, **options)


def read(folder):
    """Read all lines of all files, in the order of their names' offsets, the open file last."""
    names = sorted(
        (folder / "readings").glob("*.jsonl"),
        key=lambda path: (path.stem.count(".") == 0, path.name),
    )
    return [json.loads(line) for path in names for line in path.read_bytes().splitlines()]


def documents(first, last, size=0):
    return [(offset, {"n": offset, "text": "x" * size}) for offset in range(first, last)]


def test_each_line_is_a_document_whose_id_says_topic_partition_and_offset(tmp_path):
    with open_sink(tmp_path) as sink:
        assert sink.append([(5, {"n": 1}), (9, {"n": 2})]) == 2
    assert read(tmp_path) == [
        {"_id": f"{TOPIC_ID}-3-5", "n": 1},
        {"_id": f"{TOPIC_ID}-3-9", "n": 2},
    ]
    assert (tmp_path / "readings" / "weather-3.jsonl").exists()


def test_values_that_json_does_not_know_are_written_as_extended_json(tmp_path):
    at = datetime(2012, 1, 1, 12, tzinfo=UTC)
    raw = bson.encode({"_id": bson.ObjectId(bytes(12)), "at": at, "big": 2**60, "text": "é\n\0"})
    with open_sink(tmp_path) as sink:
        sink.append([(0, raw), (1, {"at": at, "not_a_number": float("nan")})])
    first, second = read(tmp_path)
    assert first == {
        "_id": f"{TOPIC_ID}-3-0",
        "at": {"$date": "2012-01-01T12:00:00Z"},
        "big": 2**60,
        "text": "é\n\0",
    }
    assert second["at"] == first["at"]
    assert second["not_a_number"] == {"$numberDouble": "NaN"}


def test_documents_of_the_encoder_are_taken_as_they_are(tmp_path):
    encoded, unfit = encode.encode_records([{"n": 1, "list": [1, {"a": None}]}])
    assert not unfit
    with open_sink(tmp_path) as sink:
        sink.append(zip([7], encoded.to_pylist(), strict=True))
    assert read(tmp_path) == [{"_id": f"{TOPIC_ID}-3-7", "n": 1, "list": [1, {}]}]


def test_what_is_stored_already_is_not_stored_again(tmp_path):
    with open_sink(tmp_path) as sink:
        sink.append(documents(0, 5))
        assert sink.append(documents(3, 8)) == 3
    with open_sink(tmp_path) as sink:
        assert sink.last_offset == 7
        assert sink.append(documents(0, 8)) == 0
        assert sink.append(documents(6, 10)) == 2
    assert [line["n"] for line in read(tmp_path)] == list(range(10))


def test_offsets_that_do_not_ascend_are_refused_before_anything_is_stored(tmp_path):
    with open_sink(tmp_path) as sink, pytest.raises(ValueError, match=r"offset 4 of .* after 5"):
        sink.append([(5, {}), (4, {})])
    assert read(tmp_path) == []


def test_a_last_line_torn_at_any_byte_is_cut_off_and_stored_again(tmp_path):
    with open_sink(tmp_path) as sink:
        sink.append(documents(0, 3, size=40))
    path = tmp_path / "readings" / "weather-3.jsonl"
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        with open_sink(tmp_path) as sink:
            assert sink.last_offset == 1
            assert path.read_bytes() == whole[:start]
            sink.append(documents(0, 3, size=40))
        assert path.read_bytes() == whole


def test_a_torn_line_longer_than_what_is_read_at_once_is_cut_off(tmp_path):
    with open_sink(tmp_path) as sink:
        sink.append(documents(0, 2, size=300_000))
    path = tmp_path / "readings" / "weather-3.jsonl"
    os.truncate(path, path.stat().st_size - 10)
    with open_sink(tmp_path) as sink:
        assert sink.last_offset == 0
    os.truncate(path, 1_000)
    with open_sink(tmp_path) as sink:
        assert sink.last_offset == -1
    assert path.stat().st_size == 0


def test_a_full_file_takes_a_name_with_its_offsets_and_the_next_one_goes_on(tmp_path):
    with open_sink(tmp_path, max_file_bytes=2_000) as sink:
        for first in range(0, 60, 10):
            sink.append(documents(first, first + 10, size=80))
        full = sorted(path.name for path in (tmp_path / "readings").glob("weather-3.*.jsonl"))
    assert full[0] == f"weather-3.{TOPIC_ID}.{0:019}-{19:019}.jsonl"
    assert len(full) == 3
    with open_sink(tmp_path, max_file_bytes=2_000) as sink:
        assert sink.last_offset == 59
        sink.append(documents(55, 62))
    assert [line["n"] for line in read(tmp_path)] == list(range(62))


def test_a_process_that_ended_right_after_a_file_was_put_aside_goes_on_behind_it(tmp_path):
    with open_sink(tmp_path, max_file_bytes=1) as sink:
        sink.append(documents(0, 5))
        path = sink.path
    path.unlink()
    with open_sink(tmp_path) as sink:
        assert sink.last_offset == 4


def test_a_topic_that_was_made_again_gets_a_file_of_its_own_from_its_first_offset(tmp_path):
    with open_sink(tmp_path) as sink:
        sink.append(documents(0, 5))
    with open_sink(tmp_path, topic_id="another") as sink:
        assert sink.last_offset == -1
        sink.append(documents(0, 2))
        lines = [json.loads(line) for line in sink.path.read_bytes().splitlines()]
    assert [line["_id"] for line in lines] == ["another-3-0", "another-3-1"]
    aside = tmp_path / "readings" / f"weather-3.{TOPIC_ID}.{0:019}-{4:019}.jsonl"
    assert len(aside.read_bytes().splitlines()) == 5


def test_a_file_that_is_not_ours_is_left_alone(tmp_path):
    path = tmp_path / "readings" / "weather-3.jsonl"
    path.parent.mkdir()
    path.write_text("precious\n")
    with pytest.raises(errors.TerminalError, match="Move the file away"):
        open_sink(tmp_path)
    assert path.read_text() == "precious\n"


def test_partitions_do_not_disturb_each_other(tmp_path):
    with open_sink(tmp_path) as one, open_sink(tmp_path, name="weather-4") as other:
        one.append(documents(0, 2))
        other.append(documents(0, 3))
    assert (one.last_offset, other.last_offset) == (1, 2)


def test_a_file_is_waited_for_while_its_owner_lives_and_refused_after_the_limit(tmp_path):
    with open_sink(tmp_path):
        begin = time.monotonic()
        with pytest.raises(errors.ServiceUnavailableError, match=r"written to .* for 0.2 s"):
            open_sink(tmp_path, owner_seconds=0.2)
        assert time.monotonic() - begin >= 0.2
    with open_sink(tmp_path, owner_seconds=0.2) as sink:
        assert sink.last_offset == -1


def test_a_disk_that_is_full_stores_none_and_says_so(tmp_path, monkeypatch):
    with open_sink(tmp_path) as sink:
        sink.append(documents(0, 2))
        size = sink.path.stat().st_size
        real = os.pwrite

        def full(file, data, at):
            if at > size:
                raise OSError(28, "No space left on device")
            return real(file, data[:10], at)

        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(errors.ServiceUnavailableError, match="No space left"):
                sink.append(documents(2, 4))
        assert sink.path.stat().st_size == size
        assert sink.append(documents(2, 4)) == 2
    assert [line["n"] for line in read(tmp_path)] == [0, 1, 2, 3]


WRITER = """
import sys
from pathlib import Path
from mysimbdp.sinks.files import FileSink
folder = Path(sys.argv[1])
with FileSink(folder, "readings", "weather-3", topic_id="id", max_file_bytes=200_000) as sink:
    offset = max(0, sink.last_offset - 50)
    print("open", flush=True)
    while True:
        sink.append([(n, {"n": n, "text": "x" * (n % 700)}) for n in range(offset, offset + 100)])
        offset += 100
"""


def test_a_writer_killed_at_any_moment_loses_and_doubles_nothing(tmp_path):
    moments = random.Random(7)  # noqa: S311 - the same moments in every run
    for _ in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), tmp_path], stdout=subprocess.PIPE
        )
        assert writer.stdout.readline() == b"open\n"
        time.sleep(moments.uniform(0.0, 0.1))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
    with open_sink(tmp_path, topic_id="id", owner_seconds=0.0) as sink:
        last = sink.last_offset
    assert last > 1_000
    assert [line["n"] for line in read(tmp_path)] == list(range(last + 1))


def test_a_file_is_full_at_256_megabytes():
    assert files.MAX_FILE_BYTES == 268_435_456
