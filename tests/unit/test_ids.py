"""Ids of rows."""

import itertools

import bson
import numpy as np
import pyarrow as pa
import pytest
from bson import ObjectId

from mysimbdp.pipelines.protocol import BadOutputError
from mysimbdp.sinks import ids

KEY = bytes(range(1, 8))


def encoded(*documents):
    empty = {"_id": ObjectId(b"\0" * 12)}
    return pa.array([bson.encode(empty | document) for document in documents], pa.large_binary())


def decoded(data, offsets):
    return [bson.decode(data[start:end].tobytes()) for start, end in itertools.pairwise(offsets)]


def test_every_row_gets_the_id_of_its_file_and_ordinal():
    data, offsets = ids.stamp(KEY, np.array([0, 7, 2**33]), encoded({"a": 1}, {"b": "x"}, {}))

    assert decoded(data, offsets) == [
        {"_id": ids.document_id(KEY, 0), "a": 1},
        {"_id": ids.document_id(KEY, 7), "b": "x"},
        {"_id": ids.document_id(KEY, 2**33)},
    ]


def test_a_slice_of_a_block_is_stamped_like_a_block():
    data, offsets = ids.stamp(KEY, np.array([5, 6]), encoded({"a": 1}, {"a": 2}, {"a": 3})[1:])

    assert [document["a"] for document in decoded(data, offsets)] == [2, 3]


def test_the_range_of_a_file_holds_its_first_and_last_possible_row_and_no_other_file():
    wanted = ids.id_range(KEY)
    other = bytes([*KEY[:-1], KEY[-1] + 1])

    assert wanted["$gte"] == ids.document_id(KEY, 0)
    assert wanted["$lte"] == ids.document_id(KEY, ids.MAX_ORDINAL)
    assert wanted["$lte"] < ids.document_id(other, 0)


@pytest.mark.parametrize(
    "rows",
    [[1, 1], [2, 1], [-1, 0], [0, ids.MAX_ORDINAL + 1]],
    ids=["twice", "back", "low", "high"],
)
def test_impossible_rows_are_refused(rows):
    with pytest.raises(BadOutputError, match="rows out of order"):
        ids.stamp(KEY, np.array(rows), encoded({}, {}))


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\0" * 30,
        bson.encode({"xid": ObjectId(b"\0" * 12)}),
        bson.encode({"_id": ObjectId(b"\0" * 12), "a": 1}) + b"\0",
        bson.encode({"_id": ObjectId(b"\0" * 12), "a": 1})[:-1] + b"\1",
    ],
    ids=["empty", "zeros", "id not first", "longer than said", "no end"],
)
def test_a_document_that_is_not_framed_as_agreed_is_refused(document):
    with pytest.raises(BadOutputError):
        ids.stamp(KEY, np.array([0]), pa.array([document], pa.large_binary()))
