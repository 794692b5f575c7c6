"""Rows in the tenant's database, on a real mongod."""

import bson
import numpy as np
import pyarrow as pa
import pymongo
import pytest
from bson import ObjectId

from mysimbdp.pipelines.protocol import BadOutputError, RejectedRow
from mysimbdp.sinks import ids
from mysimbdp.sinks.mongo import MongoSink

KEY = b"\x01\x02\x03\x04\x05\x06\x07"


def block(*documents):
    empty = {"_id": ObjectId(b"\0" * 12)}
    return pa.array([bson.encode(empty | document) for document in documents], pa.large_binary())


def rejected(row, reason="bad"):
    return RejectedRow(row=row, line=row + 2, field=None, reason=reason, raw="raw")


@pytest.fixture
def open_sink(mongod, tenant_name):
    tenant = tenant_name()
    client = pymongo.MongoClient(mongod.add_tenant(tenant))

    def make(*, attempt=1, replaces=False, ingestion="one"):
        return MongoSink(
            database=client[tenant],
            collection="trips",
            key=KEY,
            ingestion=ingestion,
            attempt=attempt,
            file="trips.csv",
            replaces=replaces,
        )

    yield make
    client.close()


def test_a_block_is_stored_with_the_ids_of_its_rows(open_sink):
    sink = open_sink()

    written = sink.write(np.array([0, 1, 5]), block({"a": 1}, {"a": 2}, {"b": "x"}))

    assert (written.stored, written.replayed) == (3, 0)
    assert list(sink.documents.find().sort("_id")) == [
        {"_id": ids.document_id(KEY, 0), "a": 1},
        {"_id": ids.document_id(KEY, 1), "a": 2},
        {"_id": ids.document_id(KEY, 5), "b": "x"},
    ]


def test_a_block_that_is_sent_twice_is_stored_once(open_sink):
    sink = open_sink()
    sink.write(np.array([0, 1]), block({"a": 1}, {"a": 2}))

    written = sink.write(np.array([0, 1, 2]), block({"a": 1}, {"a": 2}, {"a": 3}))

    assert (written.stored, written.replayed, written.refused) == (1, 2, ())
    assert sink.count() == (3, 0)


def test_a_row_that_breaks_the_tenants_own_unique_index_is_refused_and_the_others_stored(open_sink):
    sink = open_sink()
    sink.documents.create_index("trip", unique=True)

    written = sink.write(np.array([0, 1, 2]), block({"trip": 1}, {"trip": 1}, {"trip": 2}))

    assert written.stored == 2
    (refused,) = written.refused
    assert refused.row == 1
    assert "duplicate key" in refused.reason


def test_a_block_larger_than_one_message_is_stored_whole(open_sink):
    sink = open_sink()
    rows = np.arange(120_000)

    written = sink.write(rows, block(*[{"n": int(row)} for row in rows]))

    assert written.stored == len(rows)
    assert sink.documents.count_documents({}) == len(rows)
    large = block(*[{"text": "x" * 15_000_000} for _ in range(4)])
    assert sink.write(np.arange(200_000, 200_004), large).stored == 4


def test_an_ingestion_again_replaces_what_the_first_one_stored(open_sink):
    open_sink().write(np.array([0, 1]), block({"a": 1}, {"a": 2}))

    sink = open_sink(replaces=True, ingestion="two")
    written = sink.write(np.array([0, 1, 2]), block({"a": 10}, {"a": 20}, {"a": 30}))

    assert (written.stored, written.replayed) == (1, 2)
    assert [document["a"] for document in sink.documents.find().sort("_id")] == [10, 20, 30]


def test_rejects_are_kept_with_file_line_and_reason_once(open_sink):
    sink = open_sink()

    sink.reject([rejected(3, "no fare")])
    sink.reject([rejected(3, "no fare")])

    (document,) = sink.rejects.find()
    assert document["file"] == "trips.csv"
    assert document["line"] == 5
    assert document["reason"] == "no fare"


def test_a_row_that_a_later_attempt_rejects_is_no_longer_stored(open_sink):
    open_sink().write(np.array([0, 1]), block({"a": 1}, {"a": 2}))

    sink = open_sink(attempt=2)
    sink.reject([rejected(1)])

    assert sink.count() == (1, 1)


def test_a_row_that_a_later_attempt_stores_is_no_longer_rejected(open_sink):
    open_sink().reject([rejected(0), rejected(1)])

    sink = open_sink(attempt=2)
    sink.write(np.array([0]), block({"a": 1}))
    sink.reject([rejected(1)])
    sink.tidy()

    assert sink.count() == (1, 1)


def test_a_failed_ingestion_leaves_no_row_and_keeps_its_rejects_and_its_neighbours(open_sink):
    sink = open_sink()
    neighbour = {"_id": "a document of the tenant's own"}
    sink.documents.insert_one(neighbour)
    sink.write(np.array([0, 1]), block({"a": 1}, {"a": 2}))
    sink.reject([rejected(2)])

    sink.undo()

    assert sink.count() == (0, 1)
    assert list(sink.documents.find()) == [neighbour]


@pytest.mark.parametrize("inside", [b"\x02a\x00\xff\xff\xff\x7fx\x00", b"\x77a\x00\x00"])
def test_bson_that_is_broken_inside_is_the_childs_fault_and_stores_nothing(open_sink, inside):
    body = b"\x07_id\x00" + b"\0" * 12 + inside + b"\0"
    document = (len(body) + 4).to_bytes(4, "little") + body
    sink = open_sink()

    with pytest.raises(BadOutputError, match="not valid BSON"):
        sink.write(np.array([0]), pa.array([document], pa.large_binary()))
    assert sink.count() == (0, 0)


def test_a_document_that_smuggles_in_a_second_one_is_refused(open_sink):
    """Two documents where one was announced: the outer length must cover both to pass framing."""
    first = bson.encode({"_id": ObjectId(b"\0" * 12), "a": 1})
    second = bson.encode({"_id": ObjectId(b"\0" * 12), "a": 2})
    length = (len(first) + len(second)).to_bytes(4, "little")
    sink = open_sink()

    with pytest.raises(BadOutputError):
        sink.write(np.array([0]), pa.array([length + first[4:] + second], pa.large_binary()))
    assert sink.count() == (0, 0)
