"""What a stream callable returns, matched with the messages that it was given."""

import bson
import numpy as np
import pyarrow as pa
import pytest

from mysimbdp import sdk
from mysimbdp.pipelines import stream_batch, stream_protocol
from mysimbdp.pipelines.code import GivenUpError
from mysimbdp.pipelines.protocol import BadOutputError

ROWS = {"rows": None}


def run(ingest, values, *, batch="records", keys=ROWS):
    payload = stream_protocol.pack_values(values)
    messages = stream_protocol.unpack_messages(payload)
    return stream_batch.transform(ingest, messages, batch, keys)


def stored(outcome, collection="rows"):
    """Return place in the batch -> document, through the pipe's format."""
    found = {}
    for part in outcome.documents:
        assert part.collection == collection or len(outcome.documents) > 1
        read = stream_protocol.unpack_documents(stream_batch.pack(part))
        if read.collection == collection:
            documents = [bson.decode(document) for document in read.documents.to_pylist()]
            found |= dict(zip(read.rows.tolist(), documents, strict=True))
    return found


def reasons(outcome):
    return {reject.index: reject.reason for reject in outcome.rejects}


def test_unreadable_messages_leave_the_places_of_the_others_alone():
    outcome = run(lambda ms: {"rows": ms}, [b'{"n":0}', b"{", None, b'{"n":3}'])

    assert {place: one["n"] for place, one in stored(outcome).items()} == {0: 0, 3: 3}
    assert set(reasons(outcome)) == {1, 2}


def test_a_batch_without_a_readable_message_does_not_reach_the_code():
    outcome = run(lambda _: pytest.fail("called"), [b"{", None])

    assert set(reasons(outcome)) == {0, 1}


def test_a_message_is_stored_in_all_its_collections_or_in_none():
    def ingest(messages):
        return {
            "rows": [{"n": m["n"]} for m in messages],
            "others": [{"n": m["n"]} if m["n"] != 1 else sdk.Reject("odd") for m in messages],
        }

    outcome = run(ingest, [b'{"n":0}', b'{"n":1}'], keys={"rows": None, "others": None})

    assert list(stored(outcome)) == [0]
    assert list(stored(outcome, "others")) == [0]
    assert reasons(outcome) == {1: "odd"}


def test_a_document_that_cannot_be_stored_rejects_its_message():
    outcome = run(lambda _: {"rows": [{"n": 2**64}, {"n": 1}]}, [b'{"n":0}', b'{"n":1}'])

    assert list(stored(outcome)) == [1]
    assert "64 bits" in reasons(outcome)[0]


def test_of_keyed_documents_the_last_that_is_not_rejected_counts():
    def ingest(messages):
        return {
            "sensors": [{"id": "a", "n": m["n"]} for m in messages],
            "rows": [sdk.Reject("no") if m["n"] == 2 else {"n": m["n"]} for m in messages],
        }

    values = [b'{"n":0}', b'{"n":1}', b'{"n":2}']
    outcome = run(ingest, values, keys={"sensors": "id", "rows": None})

    assert list(stored(outcome, "sensors").values()) == [{"_id": "a", "id": "a", "n": 1}]
    assert list(stored(outcome)) == [0, 1]


def test_a_keyed_document_without_its_key_is_rejected():
    outcome = run(lambda _: {"s": [{"x": 1}]}, [b"{}"], keys={"s": "id"})

    assert "the key id" in reasons(outcome)[0]


def test_tables_keep_the_rows_that_are_not_rejected():
    def ingest(table):
        odd = {i: "odd" for i, n in enumerate(table["n"].to_pylist()) if n % 2}
        keep = [i for i in range(table.num_rows) if i not in odd]
        return sdk.Result({"rows": table.take(keep)}, rejects=odd)

    outcome = run(ingest, [b'{"n":%d}' % n for n in range(5)] + [b"{"], batch="arrow")

    assert [one["n"] for one in stored(outcome).values()] == [0, 2, 4]
    assert set(reasons(outcome)) == {1, 3, 5}


def test_a_table_has_the_columns_of_all_messages():
    outcome = run(lambda t: {"rows": t}, [b'{"n":0}', b'{"m":1.5}'], batch="arrow")

    documents = [{k: v for k, v in one.items() if k != "_id"} for one in stored(outcome).values()]
    assert documents == [{"n": 0}, {"m": 1.5}]


def test_an_error_is_blamed_on_the_one_message_that_raises_it():
    def ingest(messages):
        return {"rows": [{"n": 1 / m["n"]} for m in messages]}

    outcome = run(ingest, [b'{"n":1}', b'{"n":0}', b'{"n":2}'])

    assert list(stored(outcome)) == [0, 2]
    assert reasons(outcome)[1].startswith("ZeroDivisionError: division by zero (")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (None, "returned NoneType"),
        ([{}], "returned list"),
        ({"others": [{}, {}]}, "documents for others; registered collections: rows"),
        ({"rows": [{}]}, "given 2 messages and returned 1 for rows"),
        ({"rows": "ab"}, "returned str for rows"),
        ({"rows": pa.table({"a": [1]})}, "every row must be returned or rejected"),
    ],
)
def test_output_that_does_not_fit_is_refused_with_what_was_expected(result, words):
    with pytest.raises(GivenUpError, match=words) as caught:
        run(lambda _: result, [b"{}", b"{}"])

    assert caught.value.cause == "bad_output"


def test_whole_messages_keep_everything():
    payload = stream_protocol.pack_messages(
        [
            ["events"],
            [3],
            [9],
            [1_700_000_000_000],
            [b"k"],
            [b"v"],
            [[{"name": "h", "value": b"1"}]],
        ]
    )
    seen = []

    def ingest(messages):
        seen.extend(messages)
        return {"rows": [{}]}

    stream_batch.transform(ingest, stream_protocol.unpack_messages(payload), "messages", ROWS)

    assert seen == [
        sdk.Message("events", 3, 9, 1_700_000_000_000, b"k", b"v", (("h", b"1"),)),
    ]


@pytest.mark.parametrize("payload", [b"", b"nonsense", bytes(100)])
def test_documents_that_are_no_block_are_refused(payload):
    with pytest.raises(BadOutputError):
        stream_protocol.unpack_documents(payload)


def test_documents_without_a_collection_are_refused():
    whole = stream_protocol.pack_documents(
        "rows", np.array([0]), pa.array([b"x"], pa.large_binary()), is_keyed=False
    )
    assert stream_protocol.unpack_documents(whole.to_pybytes()).collection == "rows"
    with pytest.raises(BadOutputError):
        stream_protocol.unpack_documents(stream_protocol.pack_values([b"x"]).to_pybytes())
