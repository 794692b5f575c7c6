import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from mysimbdp.pipelines import readers

MEGABYTE = 1024 * 1024


def read(data, **options):
    return list(readers.read_blocks(io.BytesIO(data), "JSON", readers.ReadOptions(**options)))


def read_one(data, **options):
    (block,) = read(data, **options)
    return block


def refusal(data):
    with pytest.raises(readers.BadContentError) as caught:
        read(data)
    return str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b'[{"a": 1, "b": null}, {"a": 2.5, "b": ["x", null]}]',
        b'{"a": 1, "b": null}\n{"a": 2.5, "b": ["x", null]}',
        b'\xef\xbb\xbf\n [\n{"a": 1},\n{"a": 2.5, "b": ["x", null]}\n]\n',
    ],
)
def test_an_array_and_lines_give_the_same_records_without_nulls(data):
    assert read_one(data).data == [{"a": 1}, {"a": 2.5, "b": ["x", None]}]


def test_one_object_over_several_lines_is_one_record():
    block = read_one(json.dumps({"a": 1, "b": {"c": [1, 2]}}, indent=2).encode())
    assert block.data == [{"a": 1, "b": {"c": [1, 2]}}]


def test_bad_lines_are_rejected_with_their_number_and_text():
    block = read_one(
        b'{"a":1}\n\n{"a":2,}\n[1]\n{"a":1}{"a":2}\n{"a":"\xff"}\n{"a":NaN}\n{"a":1,"a":2}\n'
        b'{"a":9223372036854775808}\n{"a":3}'
    )
    assert block.data == [{"a": 1}, {"a": 3}]
    assert block.rows.tolist() == [0, 8]
    assert [block.line_of(index) for index in range(2)] == [1, 10]
    assert [(reject.row, reject.line) for reject in block.rejects] == [
        (row, row + 2) for row in range(1, 8)
    ]
    assert block.rejects[0].raw == '{"a":2,}'
    assert [reject.reason for reject in block.rejects][1:] == [
        "expected an object, found [1]",
        "expected one value, found more behind column 8",
        "expected UTF-8 text, found byte 0xff",
        "expected a JSON number, found NaN",
        "expected each key once, found 'a' again",
        "expected an integer of 64 bits, found 9223372036854775808",
    ]


def test_bad_items_of_an_array_are_rejected_with_their_number():
    block = read_one(b'[{"a":1},\n7, {"a":123456789012345678901},\n{"a":1e999}]')
    assert block.data == [{"a": 1}]
    assert [(r.row, r.line, r.reason) for r in block.rejects] == [
        (1, 2, "item 1: expected an object, found 7"),
        (2, 2, "item 2: expected an integer of 64 bits, found 123456789012345678901"),
        (3, 3, "item 3: expected a number of 64 bits, found 1e999"),
    ]


@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_longer_file_comes_in_blocks_with_going_on_numbers(form):
    objects = [json.dumps({"n": number, "text": "é" * 40}) for number in range(25_000)]
    text = "[" + ",\n".join(objects) + "]" if form == "array" else "\n".join(objects)
    blocks = read(text.encode())
    assert [len(block.rows) for block in blocks] == [10_000, 10_000, 5_000]
    assert [record["n"] for block in blocks for record in block.data] == list(range(25_000))
    assert blocks[-1].rows[-1] == 24_999
    assert blocks[-1].line_of(4_999) == 25_000


def test_declared_columns_are_cast_and_numbers_keep_their_exact_text():
    block = read_one(
        b'{"zip": "00123", "code": 1.10, "n": "7", "day": "2026-01-02",'
        b' "at": "2026-01-02T03:00:00+01:00", "price": 12.50, "flag": "true", "other": 1.5}',
        columns={
            "zip": "string",
            "code": "string",
            "n": "int64",
            "day": "date",
            "at": "timestamp",
            "price": "decimal",
            "flag": "bool",
        },
    )
    (record,) = block.data
    assert record == {
        "zip": "00123",
        "code": "1.10",
        "n": 7,
        "day": date(2026, 1, 2),
        "at": datetime(2026, 1, 2, 2, tzinfo=UTC),
        "price": Decimal("12.50"),
        "flag": True,
        "other": 1.5,
    }
    assert str(record["price"]) == "12.50"
    assert type(record["other"]) is float


def test_a_value_that_does_not_fit_its_declared_type_rejects_the_row():
    block = read_one(b'{"n": "x"}\n{"n": 1.5}\n{"n": ""}\n{"n": 2}', columns={"n": "int64"})
    assert block.data == [{}, {"n": 2}]
    assert [(r.field, r.reason) for r in block.rejects] == [
        ("n", "column n: expected int64, found 'x'"),
        ("n", "column n: expected int64, found 1.5"),
    ]


def test_no_items_are_no_rows():
    assert read(b" [ ] ") == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b" \n", "line 1: expected an array or an object, found an empty file"),
        (b"7", "line 1: expected an array or an object, found '7'"),
        (b'[{"a":1},\n{"a"', "line 2: expected item 1 of the array, found the end of the file"),
        (b'[{"a":1}', "line 1: expected ',', found the end of the file"),
        (b'[{"a":1}\n{"a":2}]', "line 2: expected ',', found '{'"),
        (b'[{"a":1}]\n7', "line 2: expected the end of the file, found '7'"),
        (b'[{"a":"\xff"}]', "line 1: expected UTF-8 text, found a byte that is none, at byte 7"),
        (b"[" * 100_000, "line 1: expected item 0 of the array, found Nested too deeply"),
        (b'{\n"a":1\n}\n{\n"a":2\n}', "line 1: expected an array, one object a line or a single"),
    ],
)
def test_a_file_that_is_no_array_and_no_lines_is_refused_with_the_place(data, said):
    assert refusal(data).startswith(said)


@pytest.mark.parametrize("start", [b"[", b""])
def test_a_record_of_more_than_16_megabytes_is_refused(start):
    said = refusal(start + b'{"a":"' + b"x" * (17 * MEGABYTE))
    assert "at most 16 MB" in said


def test_records_of_one_shape_become_a_table_and_a_frame():
    block = read_one(b'{"id": 9223372036854775807, "x": {"y": 1}}\n{"x": {"y": 2}, "z": "new"}')
    table = readers.to_batch(block, "arrow")
    assert table.column_names == ["id", "x", "z"]
    assert table["z"].to_pylist() == [None, "new"]
    assert readers.to_batch(block, "pandas")["id"].tolist()[0] == 9223372036854775807
    assert readers.to_batch(block, "records") is block.data


def test_a_column_of_mixed_types_is_named_when_a_table_is_wanted():
    block = read_one(b'{"title": "x"}\n{"title": 300}')
    with pytest.raises(readers.BadContentError, match=r"column title: .* found int and str"):
        readers.to_batch(block, "arrow")


def test_empty_objects_are_rows_of_a_table_too():
    assert readers.to_batch(read_one(b"[{}, {}]"), "arrow").num_rows == 2


def test_a_number_that_is_cut_by_the_end_of_a_chunk_is_read_whole():
    block = read_one(b"[" + b" " * (MEGABYTE - 3) + b"12345]")
    assert [reject.raw for reject in block.rejects] == ["12345"]
