import math
import struct
from datetime import UTC, date, datetime
from decimal import Decimal

import bson
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from bson.decimal128 import Decimal128
from hypothesis import given, settings
from hypothesis import strategies as st

from mysimbdp.sinks import encode

NO_ID = bson.ObjectId(bytes(12))
OPTIONS = bson.CodecOptions(tz_aware=True)
MEGABYTE = 1024 * 1024


def decode(documents):
    return [bson.decode(document, OPTIONS) for document in documents.to_pylist()]


def encoded(table):
    return decode(encode.encode_table(table))


def without_ids(documents):
    return [
        {name: value for name, value in document.items() if name != "_id"} for document in documents
    ]


def refusal(table):
    with pytest.raises(encode.EncodeError) as caught:
        encode.encode_table(table)
    return str(caught.value)


MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(  # noqa: DTZ001 - made aware
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=9)
FLOATS = st.floats(allow_nan=False)
COLUMN = {
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.uint16(): st.integers(0, 2**16 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.uint32(): st.integers(0, 2**32 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**63 - 1),
    pa.float64(): FLOATS,
    pa.bool_(): st.booleans(),
    pa.string(): TEXTS,
    pa.large_string(): TEXTS,
    pa.string_view(): TEXTS,
    pa.dictionary(pa.int8(), pa.string()): st.sampled_from(["red", "", "grün"]),
    pa.timestamp("ms", "UTC"): MOMENTS,
    pa.timestamp("us", "Europe/Helsinki"): MOMENTS,
    pa.timestamp("ns", "UTC"): MOMENTS,
    pa.binary(): st.binary(max_size=5),
    pa.list_(pa.int64()): st.lists(st.none() | st.integers(0, 9), max_size=3),
    pa.struct([("x", pa.int64()), ("y", pa.string())]): st.fixed_dictionaries(
        {"x": st.integers(0, 9), "y": TEXTS}
    ),
    pa.null(): st.none(),
}
NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"], exclude_characters="\x00"),
    min_size=1,
    max_size=5,
).filter(lambda name: name != "_id")


@st.composite
def tables(draw):
    rows = draw(st.integers(0, 12))
    arrays = {}
    for name in draw(st.lists(NAMES, max_size=8, unique=True)):
        kind = draw(st.sampled_from(list(COLUMN)))
        values = st.none() | COLUMN[kind] if draw(st.booleans()) else COLUMN[kind]
        column = draw(st.lists(values, min_size=rows, max_size=rows))
        arrays[name] = pa.array(column, kind)
    table = pa.table(arrays) if arrays else pa.table({"a": pa.nulls(rows)})
    cut = draw(st.integers(0, rows))
    # Slices have offsets into shared buffers, and their concatenation has chunks.
    return pa.concat_tables([table.slice(cut), table.slice(0, cut)])


@settings(deadline=None, max_examples=200)
@given(tables())
def test_each_row_comes_back_as_it_was_without_nulls(table):
    documents = encoded(table)
    expected = [
        {"_id": NO_ID, **{name: value for name, value in row.items() if value is not None}}
        for row in table.to_pylist()
    ]
    assert documents == expected
    for document, row in zip(documents, expected, strict=True):
        assert list(document) == list(row)
        # An int and a bool compare equal, and are two types in the database.
        assert [isinstance(value, bool) for value in document.values()] == [
            isinstance(value, bool) for value in row.values()
        ]


@settings(deadline=None, max_examples=50)
@given(tables())
def test_every_document_begins_with_its_length_and_an_id_of_zero_bytes(table):
    for document in encode.encode_table(table).to_pylist():
        assert struct.unpack("<i", document[:4]) == (len(document),)
        assert document[4:21] == b"\x07_id\x00" + bytes(12)


def test_a_table_of_many_slices_and_chunks_keeps_its_order():
    numbers = np.arange(100_000)
    part = pa.table({"n": numbers, "s": [str(number) for number in numbers]})
    documents = encoded(pa.concat_tables([part.slice(5), part.slice(0, 5)]))
    assert [document["n"] for document in documents] == [*range(5, 100_000), *range(5)]
    assert all(document["s"] == str(document["n"]) for document in documents)


def test_the_integer_types_of_bson_follow_those_of_the_columns():
    table = pa.table({"small": pa.array([1], pa.int16()), "large": pa.array([1], pa.uint32())})
    (document,) = encode.encode_table(table).to_pylist()
    assert b"\x10small\x00\x01\x00\x00\x00" in document
    assert b"\x12large\x00\x01\x00\x00\x00\x00\x00\x00\x00" in document


def test_times_are_utc_milliseconds_cut_off_towards_the_past():
    early = datetime(1969, 12, 31, 23, 59, 59, 999_999)  # noqa: DTZ001 - the column tells no zone
    table = pa.table(
        {
            "t": pa.array([early], pa.timestamp("us")),
            "s": pa.array([-1], pa.timestamp("s")),
            "d": pa.array([date(1969, 12, 31)]),
            "d64": pa.array([date(2026, 1, 2)], pa.date64()),
        }
    )
    assert without_ids(encoded(table)) == [
        {
            "t": datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
            "s": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
            "d": datetime(1969, 12, 31, tzinfo=UTC),
            "d64": datetime(2026, 1, 2, tzinfo=UTC),
        }
    ]


def test_decimals_are_decimal128_and_nested_nulls_are_left_out():
    kind = pa.struct([("d", pa.decimal128(38, 2)), ("n", pa.int64())])
    table = pa.table({"d": [Decimal("12.50")], "s": pa.array([{"d": Decimal("0.10")}], kind)})
    assert without_ids(encoded(table)) == [
        {"d": Decimal128("12.50"), "s": {"d": Decimal128("0.10")}}
    ]


def test_not_a_number_is_missing_in_a_column():
    table = pa.table({"f": pa.array([math.nan, 1.5, None, math.inf]), "g": [math.nan] * 4})
    assert without_ids(encoded(table)) == [{}, {"f": 1.5}, {}, {"f": math.inf}]


def test_a_data_frame_keeps_long_integers_beside_missing_ones():
    frame = pd.DataFrame({"id": pd.array([2**63 - 1, None], "Int64"), "x": [1.5, None]})
    assert without_ids(encoded(pa.Table.from_pandas(frame))) == [{"id": 2**63 - 1, "x": 1.5}, {}]


@pytest.mark.parametrize("name", ["_id", "", "a\x00b"])
def test_a_column_name_that_no_document_may_have_is_refused(name):
    assert f"column {name!r}" in refusal(pa.table({name: [1]}))


def test_a_column_given_twice_is_refused():
    assert "column 'a'" in refusal(pa.table([[1], [2]], names=["a", "a"]))


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([2**63], pa.uint64()), "column a: expected int64"),
        (pa.array([1], pa.duration("s")), "column a: expected a type that BSON has"),
        (pa.array([1], pa.time32("s")), "column a: expected a type that BSON has"),
        (pa.array([Decimal("1" * 35)]), "column a: expected a decimal of at most 34 digits"),
        (pa.array([[2**63]], pa.list_(pa.uint64())), "column a: expected an integer of 64 bits"),
    ],
)
def test_a_value_that_no_document_can_hold_is_refused_with_its_column(column, said):
    assert refusal(pa.table({"a": column})).startswith(said)


def test_a_row_of_more_than_16_megabytes_is_refused():
    table = pa.table({"a": ["x"] * 20_000 + ["x" * 16 * MEGABYTE]})
    assert refusal(table).startswith("row 20000 of the batch: expected a document of at most")


def test_records_are_encoded_as_rows_are():
    moment = datetime(2026, 1, 2, 3, tzinfo=UTC)
    documents, unfit = encode.encode_records(
        [{"n": 1, "f": 1.5, "s": "x", "t": moment, "b": True, "l": [1, None], "d": {"x": "y"}}, {}]
    )
    assert unfit == []
    assert decode(documents) == [
        {
            "_id": NO_ID,
            "n": 1,
            "f": 1.5,
            "s": "x",
            "t": moment,
            "b": True,
            "l": [1, None],
            "d": {"x": "y"},
        },
        {"_id": NO_ID},
    ]
    assert all(document[4:21] == b"\x07_id\x00" + bytes(12) for document in documents.to_pylist())


def test_missing_values_are_left_out_of_records_but_not_of_lists():
    record = {"a": None, "b": math.nan, "c": {"d": None, "e": pd.NaT, "f": 1}, "g": [None, pd.NA]}
    documents, _ = encode.encode_records([record])
    assert without_ids(decode(documents)) == [{"c": {"f": 1}, "g": [None, None]}]


def test_values_of_numpy_and_decimal_and_days_are_understood():
    record = {"n": np.int64(3), "a": np.array([1, 2]), "d": Decimal("1.50"), "t": date(2026, 1, 2)}
    documents, _ = encode.encode_records([record])
    assert without_ids(decode(documents)) == [
        {"n": 3, "a": [1, 2], "d": Decimal128("1.50"), "t": datetime(2026, 1, 2, tzinfo=UTC)}
    ]


def nested(levels, make=lambda inner: {"a": inner}):
    value = 1
    for _ in range(levels):
        value = make(value)
    return value


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"n": 2**63}, "expected an integer of 64 bits, found 9223372036854775808"),
        ({1: "x"}, "documents must have only string keys"),
        ({"a": {"b\x00": 1}}, "NULL byte"),
        ({"s": {1, 2}}, "expected a type that BSON has, found set"),
        ({"s": "\ud800"}, "surrogates not allowed"),
        ({"\ud800": 1}, "surrogates not allowed"),
        ({"d": Decimal("1" * 35)}, "expected a decimal of at most 34 digits"),
        ({"_id": 7}, "expected named fields other than _id"),
        ({"": 7}, "expected named fields other than _id"),
        (None, "expected a record, found NoneType"),
        ({"s": "x" * 16 * MEGABYTE}, "expected a document of at most 16777216 bytes"),
        (nested(101), "expected at most 100 levels of nesting"),
        ({"a": nested(100, lambda inner: [inner])}, "expected at most 100 levels of nesting"),
    ],
)
def test_a_record_that_no_document_can_hold_is_left_out_with_the_reason(record, said):
    documents, unfit = encode.encode_records([{"a": 1}, record, {"a": 2}])
    assert without_ids(decode(documents)) == [{"a": 1}, {"a": 2}]
    ((index, reason),) = unfit
    assert index == 1
    assert said in reason
    assert len(reason) < 400


def test_100_levels_are_stored():
    documents, unfit = encode.encode_records([nested(100)])
    assert len(documents) == 1
    assert unfit == []


def test_no_rows_are_no_documents():
    assert len(encode.encode_table(pa.table({"a": pa.array([], pa.int64())}))) == 0
    assert len(encode.encode_records([])[0]) == 0
