"""What a file is by its content."""

import gzip
import io
import json
import os
import pickle
import sqlite3
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mysimbdp.agreements.model import FileType
from mysimbdp.staging import probe

#: A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
BOM = b"\xef\xbb\xbf"
RECORDS = [{"name": "Zoë €😀", "n": 12345678901234567890, "x": [1.5, True, None, {}]}] * 2
JSON_ARRAY = json.dumps(RECORDS, ensure_ascii=False).encode()
JSON_LINES = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)
XML = (
    '<?xml version="1.0" encoding="UTF-8"?><!-- é --><r><a b="€">😀&amp;<![CDATA[x]]></a></r>'
).encode()
CSV = 'name,städt\n"a\nb",😀€\n'.encode()


def classify(head, *, is_whole=True):
    return probe.classify(head, is_whole=is_whole)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CSV, FileType.CSV),
        (b"one_column\n1\n", FileType.CSV),
        (b"header,only", FileType.CSV),
        (b"\n\na,b\r\n1,2\r\n", FileType.CSV),
        (b"MZ,b\n1,2\n", FileType.CSV),
        (b'"quoted","{not json}"\n', FileType.CSV),
        (JSON_ARRAY, FileType.JSON),
        (JSON_LINES, FileType.JSON),
        (b'{\n  "a": 1\n}\n', FileType.JSON),
        (b"[]", FileType.JSON),
        (b'  \n[ {"a": 1} ]', FileType.JSON),
        (XML, FileType.XML),
        (b"<r/>", FileType.XML),
    ],
)
@pytest.mark.parametrize("prefix", [b"", BOM])
def test_data_is_known_by_its_content_with_or_without_a_byte_order_mark(prefix, content, expected):
    assert classify(prefix + content).format == expected


def test_xml_may_declare_another_encoding():
    content = b'<?xml version="1.0" encoding="ISO-8859-1"?><r>\xe9</r>'

    assert classify(content).format == FileType.XML


@pytest.mark.parametrize("size", range(1, len(JSON_ARRAY)))
def test_json_may_be_cut_off_anywhere_at_the_end_of_the_probe(size):
    assert classify(JSON_ARRAY[:size], is_whole=False).format == FileType.JSON


@pytest.mark.parametrize("size", range(XML.index(b"<a"), len(XML)))
def test_xml_may_be_cut_off_anywhere_after_its_root_element(size):
    assert classify(XML[:size], is_whole=False).format == FileType.XML


@pytest.mark.parametrize("size", range(CSV.index(b"\n") + 2, len(CSV)))
def test_csv_may_be_cut_off_anywhere_after_its_header(size):
    assert classify(CSV[:size], is_whole=False).format == FileType.CSV


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no bytes"),
        (b" \r\n\t", "nothing but white space"),
        (BOM, "nothing but white space"),
        (b"caf\xe9,b\n", "not UTF-8 text (at offset 3)"),
        ("a,b\n".encode("utf-16"), "UTF-16"),
        (b"a,b\n1,\0\n", "a zero byte at offset 6"),
        (b",,\n1,2,3\n", "without column names"),
        (b'"never closed,b\n1,2\n', "broken quote"),
        (b"[1, 2, 3]", "something else than objects"),
        (b"[[1], [2]]", "something else than objects"),
        (b'{"a": 1', "premature EOF"),
        (b"{a: 1}", "lexical error"),
        (b'{"a": NaN}', "lexical error"),
        (b'{"a": "\xff"}', "invalid bytes in UTF8 string"),
        (b"<r><a></r>", "tag mismatch"),
        (b"<r>", "Premature end"),
        (b"<!DOCTYPE html><html></html>", "an HTML page"),
        (b"\n<HTML lang='en'><body></body></HTML>", "an HTML page"),
        (b"<!DOCTYPE r [<!ENTITY x 'y'>]><r>&x;</r>", "DOCTYPE"),
        (b"<!-- <r> --><!DOCTYPE r><r/>", "DOCTYPE"),
        (b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE r+AD4APA-r/+AD4-', "DOCTYPE"),
        (b"#!/bin/sh\nrm -rf /\n", "a script"),
        (b"MZ\x90\x00\x03\x00", "a Windows program"),
        (b"\xcf\xfa\xed\xfe\x07\x00", "a Mach-O program"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"PAR1", "a Parquet file"),
        (gzip.compress(CSV), "gzip data"),
        (pickle.dumps(RECORDS), "a Python pickle"),
    ],
)
def test_what_is_no_data_is_refused_with_what_it_is(content, reason):
    finding = classify(content)

    assert finding.format is None
    assert reason in finding.reason


def test_a_reason_shows_nothing_of_the_document():
    secret = b"4111-1111-1111-1111"

    for content in (b'{"card": ' + secret + b"}", b"<r>" + secret + b"</x>", b'"' + secret):
        assert secret.decode() not in classify(content).reason


def test_one_bad_record_further_on_does_not_make_json_something_else():
    assert classify(b'{"a": 1}\n{"a": \n{"a": 3}\n').format == FileType.JSON


@pytest.mark.parametrize(
    "head",
    [b"[" * probe.PROBE_BYTES, b"<r>" * 20_000, b"x" * probe.PROBE_BYTES],
)
def test_a_head_without_a_record_is_refused_and_harmless(head):
    assert classify(head, is_whole=False).format is None


def test_an_entity_bomb_is_refused_before_it_grows():
    entities = "".join(
        f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "x" * 100}">' for i in range(12)
    )
    bomb = f'<!DOCTYPE r [{entities}]><r a="&e11;">&e11;</r>'.encode()

    assert classify(bomb).format is None


@UNHURRIED
@given(head=st.binary(max_size=200), is_whole=st.booleans())
def test_any_bytes_get_an_answer(head, is_whole):
    assert classify(head, is_whole=is_whole).reason


@UNHURRIED
@given(
    rows=st.lists(
        st.dictionaries(st.text(), st.integers() | st.text() | st.none()), min_size=1, max_size=5
    )
)
def test_whatever_json_writes_is_json(rows):
    assert classify(json.dumps(rows).encode()).format == FileType.JSON


def test_real_programs_archives_and_databases_are_refused(tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("trips.csv", CSV)
    (tmp_path / "zip.csv").write_bytes(archive.getvalue())
    with sqlite3.connect(tmp_path / "sqlite.csv") as database:
        database.execute("create table t (a)")
    database.close()

    assert probe.probe(tmp_path / "zip.csv").reason == "a ZIP archive"
    assert probe.probe(tmp_path / "sqlite.csv").reason == "an SQLite database"
    assert probe.probe(Path(sys.executable).resolve()).reason.endswith("program")


def test_only_the_head_of_a_large_file_is_read(tmp_path):
    path = tmp_path / "large.csv"
    path.write_bytes(b"a,b\n" + b"1,2\n" * probe.PROBE_BYTES + b"\0\xff")

    assert probe.probe(path).format == FileType.CSV


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "real.csv").write_bytes(CSV)
    (tmp_path / "link.csv").symlink_to("real.csv")

    with pytest.raises(OSError, match="symbolic"):
        probe.probe(tmp_path / "link.csv")


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")

    assert probe.probe(tmp_path / "pipe.csv").format is None
