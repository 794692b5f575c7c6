import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mysimbdp.pipelines import readers

MEGABYTE = 1024 * 1024


class Pipe(io.BytesIO):
    """Hand out less than was asked for, and refuse to seek, as a pipe does."""

    def read(self, size=-1):
        return super().read(min(size, 65_536))

    def seekable(self):
        return False


def read(data, **options):
    return list(readers.read_blocks(Pipe(data), "CSV", readers.ReadOptions(**options)))


def read_one(data, **options):
    (block,) = read(data, **options)
    return block


def values(data, **options):
    return read_one(data, **options).data.to_pydict()


def refusal(data, **options):
    with pytest.raises(readers.BadContentError) as caught:
        read(data, **options)
    return str(caught.value)


def test_types_are_inferred_from_the_values():
    block = read_one(
        b"n,f,b,t,z,s\n"
        b"1,2.5,true,2026-01-02 03:04:05,2026-01-02T03:04:05+02:00,x\n"
        b"-20,3,False,2026-01-02,2026-01-02T03:04:05Z,1\n"
    )
    assert [str(kind) for kind in block.data.schema.types] == [
        "int64",
        "double",
        "bool",
        "timestamp[ms]",
        "timestamp[ms, tz=UTC]",
        "string",
    ]
    assert block.data.to_pylist()[0] == {
        "n": 1,
        "f": 2.5,
        "b": True,
        "t": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 - the file tells no zone
        "z": datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC),
        "s": "x",
    }


@pytest.mark.parametrize(
    "text",
    [
        "00123",
        "-007",
        "+7",
        "9223372036854775808",
        "1_000",
        "NA",
        "nan",
        "inf",
        " 7",
        "0x1F",
        "1e400",
        "0.1234567890123456789",
        "2026-02-30",
        "2026-01-01 10:00:00.123456",
        "yes",
    ],
)
def test_a_value_that_a_type_would_alter_stays_text(text):
    assert values(f"a\n{text}\n".encode()) == {"a": [text]}


def test_a_float_keeps_every_digit_that_it_has():
    assert values(b"a\n0.30000000000000004\n1e-7\n.5\n") == {"a": [0.30000000000000004, 1e-7, 0.5]}


@pytest.mark.parametrize("odd", ["00123", "+7", "-007", "0x1F", "abc", "1.5"])
def test_a_later_value_that_is_no_int64_rejects_its_row_only(odd):
    data = b"a,b\n" + b"1,some longer text\n" * 299_999 + f"{odd},y\n".encode()
    first, last = read(data)
    assert first.data.schema.field("a").type == pa.int64()
    (reject,) = last.rejects
    assert reject.row == 299_999
    assert reject.line == 300_001
    assert reject.field == "a"
    assert reject.reason == f"column a: expected int64, found '{odd}'"
    assert reject.raw == f"{odd},y"
    assert last.rows[-1] == 299_998
    assert last.line_of(len(last.rows) - 1) == 300_000


def test_declared_columns_have_the_declared_types():
    kinds = ["string", "int64", "float64", "bool", "date", "timestamp", "decimal"]
    block = read_one(
        b"string,int64,float64,bool,date,timestamp,decimal\n"
        b"00123,007,nan,1,2026-01-02,2026-01-02 03:04:05.123456,12.50\n",
        columns={kind: kind for kind in kinds},
    )
    row = block.data.to_pylist()[0]
    assert row.pop("float64") != row.get("float64")
    assert row == {
        "string": "00123",
        "int64": 7,
        "bool": True,
        "date": date(2026, 1, 2),
        "timestamp": datetime(2026, 1, 2, 3, 4, 5, 123456),  # noqa: DTZ001 - the file tells no zone
        "decimal": Decimal("12.50"),
    }


def test_a_declared_timestamp_may_mix_zones_and_none():
    block = read_one(b"t\n2026-01-01 00:00\n2026-01-01T01:00+01:00\n", columns={"t": "timestamp"})
    assert len(set(block.data["t"].to_pylist())) == 1


def test_decimals_are_exact_to_34_digits_and_longer_ones_rejected():
    whole, fraction = "9" * 34, "0." + "1" * 34
    block = read_one(
        f"d\n{whole}\n{fraction}\n-1.50\n{'9' * 35}\n1e5\n".encode(), columns={"d": "decimal"}
    )
    assert block.data["d"].to_pylist() == [Decimal(whole), Decimal(fraction), Decimal("-1.5")]
    assert [reject.row for reject in block.rejects] == [3, 4]


def test_the_empty_field_is_missing_and_other_marks_can_be_named():
    assert values(b'a,b\n1,x\n,""\nNA,NA\n', missing=("NA",)) == {
        "a": [1, None, None],
        "b": ["x", None, None],
    }


def test_a_mark_for_missing_survives_in_a_declared_text_column():
    assert values(
        b"a,b,c\nNA,NA,NA\n1,,x\n", missing=("NA",), columns={"b": "string", "a": "int64"}
    ) == {"a": [None, 1], "b": ["NA", None], "c": [None, "x"]}


def test_a_column_without_values_is_text():
    assert read_one(b"a,b\n1,\n2,\n").data.schema.field("b").type == pa.string()


def test_a_row_with_too_few_or_too_many_fields_is_rejected_and_the_others_keep_their_numbers():
    block = read_one(b"a,b\n1,2\n\n3\n4,5,6\n7,8\n")
    assert block.rows.tolist() == [0, 3]
    assert [block.line_of(index) for index in range(2)] == [2, 6]
    assert [(r.row, r.line, r.reason, r.raw) for r in block.rejects] == [
        (1, 4, "expected 2 fields, found 1", "3"),
        (2, 5, "expected 2 fields, found 3", "4,5,6"),
    ]
    assert block.rows_read == 4


def test_a_row_that_is_not_utf8_is_rejected():
    block = read_one(b"a,b\n1,good\n2,b\xff\n3,good\n")
    assert block.data["a"].to_pylist() == [1, 3]
    assert block.rejects[0].line == 3
    assert block.rejects[0].field == "b"
    assert block.rejects[0].raw == "2,b\\xff"


def test_a_row_with_two_faults_is_rejected_once():
    block = read_one(b"a,b\nx,y\n1,2\n", columns={"a": "int64", "b": "int64"})
    assert [reject.field for reject in block.rejects] == ["a"]


def test_a_quoted_line_end_is_data_and_counts_as_a_line():
    block = read_one(b'a,b\n1,"x\ny"\n2,"say ""so"""\n')
    assert block.data["b"].to_pylist() == ["x\ny", 'say "so"']
    assert block.line_of(1) == 4


def test_byte_order_mark_line_ends_and_a_missing_last_one_do_not_matter():
    assert values(b"\xef\xbb\xbfa,b\r\n1,x\r\n\r\n2,y") == {"a": [1, 2], "b": ["x", "y"]}


def test_a_stray_quote_inside_a_field_is_data():
    data = b'a,b\n1,5" pipe\n2,"q\nr"\n' + b"3,z\n" * 1_100_000
    blocks = read(data)
    assert sum(len(block.rows) for block in blocks) == 1_100_002
    assert blocks[0].data["b"].to_pylist()[:2] == ['5" pipe', "q\nr"]


def test_blocks_are_about_4_megabytes_and_end_at_records():
    data = b"a,b\n" + b'1,"some text\nin two lines"\n' * 400_000
    blocks = read(data)
    assert [block.data.nbytes < 6 * MEGABYTE for block in blocks] == [True] * 3
    assert [int(block.rows[0]) for block in blocks] == [
        sum(len(block.rows) for block in blocks[:index]) for index in range(3)
    ]
    assert blocks[-1].line_of(len(blocks[-1].rows) - 1) == 1 + 2 * 400_000 - 1
    assert not any(block.rejects for block in blocks)


def test_a_header_alone_is_a_file_of_no_rows():
    assert read(b"a,b\n") == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "line 1: expected a header line, found an empty file"),
        (b"\n\n", "line 1: expected a header line, found an empty file"),
        (b"a,b,a\n1,2,3\n", "line 1: expected different column names, found 'a' twice"),
        (b"\na,,b\n1,2,3\n", "line 2: expected a name for column 2, found none"),
        (b"1,2.5\n3,4\n", "line 1: expected a header line with column names, found only numbers"),
        (b"a\xff\n1\n", "line 1: expected UTF-8 text in the header, found the byte 0xff"),
        (b"\xff\xfea\x00", "line 1: expected UTF-8 text, found UTF-16; save the file as UTF-8"),
        (
            b'a\n1\n"2\n3\n',
            "line 3: expected the end of a quoted field, found the end of the file",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_line(data, said):
    assert refusal(data) == said


def test_a_record_of_more_than_16_megabytes_is_refused():
    said = refusal(b'a\n1\n"' + b"x" * (21 * MEGABYTE))
    assert said.startswith("line 3: expected a record of at most 16 MB")


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=["Cs"]),
    max_size=6,
)
ROWS = st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=20)


@settings(deadline=None, max_examples=80)
@given(ROWS)
def test_text_columns_hold_what_was_written(rows):
    rows = [row for row in rows if row != ["", ""]]
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([["a", "b"], *rows])
    blocks = read(out.getvalue().encode(), columns={"a": "string", "b": "string"})
    found = [list(row.values()) for block in blocks for row in block.data.to_pylist()]
    assert found == [[text or None for text in row] for row in rows]


FIELDS = st.sampled_from(["1", "007", "+7", "x", "1.5", "", " 8", "9223372036854775808", "NA"])


@settings(deadline=None, max_examples=60)
@given(st.lists(FIELDS, min_size=1, max_size=12))
def test_every_row_is_kept_or_rejected_and_none_altered(fields):
    data = ("n,k\n" + "".join(f"{field},k\n" for field in fields)).encode()
    block = read_one(data, columns={"n": "int64"}, missing=("NA",))
    assert block.rows_read == len(fields)
    assert sorted([*block.rows.tolist(), *(r.row for r in block.rejects)]) == list(
        range(len(fields))
    )
    for row, value in zip(block.rows.tolist(), block.data["n"].to_pylist(), strict=True):
        assert value == (int(fields[row]) if fields[row] not in {"", "NA"} else None)


ODD_TEXTS = [
    *[
        "1",
        " 1",
        "1 ",
        "+1",
        "007",
        "0x1F",
        "1.5",
        ".5",
        "5.",
        "1e5",
        "nan",
        "inf",
        "-0",
        "1_0",
        "--1",
    ],
    *["", "NA", "true", "TRUE", "t", "0", " true", "2026-01-01", " 2026-01-01", "2026-01-01 10"],
    *["2026-01-01 10:00:00.123456", "2026-01-01 10:00:00.1234567", "2026-02-30", "20260101", "é"],
]


@pytest.mark.parametrize("kind", ["int64", "float64", "bool", "date", "timestamp", "decimal"])
def test_a_bad_row_does_not_change_how_its_neighbours_are_read(kind):
    options = {"columns": {"a": kind, "b": "string"}, "missing": ("NA",)}
    for text in ODD_TEXTS:
        alone = read_one(f'a,b\n"{text}",NA\n'.encode(), **options)
        beside = read_one(f'a,b\n"{text}",NA\n'.encode() + b",\xff\n", **options)
        assert str(beside.data.to_pylist()) == str(alone.data.to_pylist())
        assert [r.reason for r in beside.rejects[:-1]] == [r.reason for r in alone.rejects]


def test_a_batch_is_a_table_a_frame_or_records():
    block = read_one(b"id,x\n9223372036854775807,a\n,b\n")
    assert readers.to_batch(block, "arrow") is block.data
    frame = readers.to_batch(block, "pandas")
    assert frame.index.tolist() == [0, 1]
    assert frame["id"].tolist()[0] == 9223372036854775807
    assert pa.Table.from_pandas(frame)["id"].to_pylist() == [9223372036854775807, None]
    assert readers.to_batch(block, "records") == [{"id": 9223372036854775807, "x": "a"}, {"x": "b"}]
