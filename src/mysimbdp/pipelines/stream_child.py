"""The child process of a stream instance: batches of messages in, documents out.

Started as `python -I -B -m mysimbdp.pipelines.stream_child REQUEST`. Like the child of a batch run
it has no credentials, no connection and no inherited descriptors but its two pipes; it lives as
long as the instance.
"""

from __future__ import annotations

import os
import sys
from typing import BinaryIO

import msgspec

from mysimbdp.pipelines import code, protocol, sandbox, stream_protocol
from mysimbdp.pipelines.causes import Cause
from mysimbdp.pipelines.code import GivenUpError
from mysimbdp.pipelines.stream_protocol import BatchEnd, StreamRequest


def main() -> None:
    """Serve batches until the input ends; the exit code is 0 also after a reported failure."""
    request = msgspec.json.decode(sys.argv[1], type=StreamRequest)
    sandbox.confine(request.memory_bytes, request.parent)
    with (
        os.fdopen(request.input_descriptor, "rb") as source,
        os.fdopen(request.output_descriptor, "wb") as sink,
    ):
        try:
            _serve(request, source, sink)
        except GivenUpError as error:
            _give_up(sink, error)
        except MemoryError:
            megabytes = request.memory_bytes // 2**20
            message = f"The code asked for more than the agreed {megabytes} MB of memory."
            _give_up(sink, GivenUpError(Cause.MEMORY, message))


def _give_up(sink: BinaryIO, error: GivenUpError) -> None:
    failure = protocol.Failure(cause=error.cause, message=str(error))
    protocol.write_frame(sink, protocol.Kind.FAILURE, msgspec.json.encode(failure))


def _serve(request: StreamRequest, source: BinaryIO, sink: BinaryIO) -> None:
    # After the limits are set: this loads Arrow.
    from mysimbdp.pipelines import stream_batch  # noqa: PLC0415

    ingest = code.load(request.folder, request.entry)
    for _, payload in protocol.read_frames(source):
        messages = stream_protocol.unpack_messages(payload)
        outcome = stream_batch.transform(ingest, messages, request.batch, request.keys)
        for documents in outcome.documents:
            protocol.write_frame(sink, protocol.Kind.DOCUMENTS, stream_batch.pack(documents))
        if outcome.rejects:
            protocol.write_frame(sink, protocol.Kind.REJECTS, msgspec.json.encode(outcome.rejects))
        end = BatchEnd(messages=len(messages), kept=len(messages) - len(outcome.rejects))
        protocol.write_frame(sink, protocol.Kind.END, msgspec.json.encode(end))
        sink.flush()


if __name__ == "__main__":
    main()
