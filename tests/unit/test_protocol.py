"""What crosses the pipe."""

import contextlib
import io

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mysimbdp.pipelines import protocol
from mysimbdp.pipelines.protocol import BadOutputError, Kind


def test_frames_arrive_as_they_were_sent():
    pipe = io.BytesIO()
    protocol.write_frame(pipe, Kind.REJECTS, b"[]")
    protocol.write_frame(pipe, Kind.END, b"{}")

    pipe.seek(0)

    assert list(protocol.read_frames(pipe)) == [(Kind.REJECTS, b"[]"), (Kind.END, b"{}")]


def test_documents_arrive_with_their_rows():
    documents = pa.array([b"one", b"two"], pa.large_binary())

    rows, received = protocol.unpack_documents(
        protocol.pack_documents(np.array([3, 9]), documents).to_pybytes()
    )

    assert rows.tolist() == [3, 9]
    assert received.to_pylist() == [b"one", b"two"]


@pytest.mark.parametrize(
    "sent", [b"D", b"X" + b"\0" * 8, b"D" + b"\xff" * 8, b"E" + b"\0" * 7 + b"\x05ab"]
)
def test_a_broken_frame_is_bad_output(sent):
    with pytest.raises(BadOutputError):
        list(protocol.read_frames(io.BytesIO(sent)))


@given(st.binary(max_size=300))
def test_garbage_is_bad_output_and_nothing_worse(garbage):
    for read in (
        lambda: list(protocol.read_frames(io.BytesIO(garbage))),
        lambda: protocol.unpack_documents(garbage),
        lambda: protocol.decode(garbage, protocol.End),
    ):
        with contextlib.suppress(BadOutputError):
            read()


def test_a_block_with_other_columns_is_bad_output():
    sink = pa.BufferOutputStream()
    table = pa.table({"row": [1], "other": [b"x"]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)

    with pytest.raises(BadOutputError, match="expected row and document"):
        protocol.unpack_documents(sink.getvalue().to_pybytes())
