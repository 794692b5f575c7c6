"""The child process: limits first, then the tenant's code; documents leave through one pipe.

Started as `python -I -B -m mysimbdp.pipelines.child REQUEST`. It has no credentials, no database
connection and no inherited descriptors but its two pipes.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from mysimbdp.pipelines import code, protocol, sandbox
from mysimbdp.pipelines.causes import Cause
from mysimbdp.pipelines.code import GivenUpError

if TYPE_CHECKING:
    from mysimbdp.pipelines.readers import Block

#: Longest text of one rejected row that is kept with its reason.
_MAX_RAW_CHARACTERS = 1000


def main() -> None:
    """Run one request; the exit code is 0 also after a reported failure."""
    request = msgspec.json.decode(sys.argv[1], type=protocol.Request)
    sandbox.confine(request.memory_bytes, request.parent)
    if request.is_script:
        _become_script(request)
    with (
        os.fdopen(request.input_descriptor, "rb") as source,
        os.fdopen(request.output_descriptor, "wb") as sink,
    ):
        try:
            _ingest(request, source, sink)
        except GivenUpError as error:
            failure = protocol.Failure(cause=error.cause, message=str(error))
            protocol.write_frame(sink, protocol.Kind.FAILURE, msgspec.json.encode(failure))


def _become_script(request: protocol.Request) -> None:
    """Replace this process by the tenant's script, under the limits just set."""
    script = str(Path(request.folder) / request.entry)
    arguments = [sys.executable, "-B", "-u", script, *request.arguments]
    os.execv(sys.executable, arguments)  # noqa: S606 - no shell is wanted


def _ingest(request: protocol.Request, source: BinaryIO, sink: BinaryIO) -> None:
    # Only here, so that a script does not pay for what it does not use.
    from mysimbdp.pipelines import readers  # noqa: PLC0415

    ingest = code.load(request.folder, request.entry)
    options = readers.ReadOptions(
        columns=request.columns, missing=request.missing, xml_row=request.xml_row
    )
    rows_read = 0
    try:
        for block in readers.read_blocks(source, request.file_format, options):
            _transform(ingest, block, request.batch, sink)
            rows_read += block.rows_read
    except readers.BadContentError as error:
        raise GivenUpError(Cause.BAD_CONTENT, str(error)) from error
    except MemoryError as error:
        megabytes = request.memory_bytes // 2**20
        message = f"The code asked for more than the agreed {megabytes} MB of memory."
        raise GivenUpError(Cause.MEMORY, message) from error
    end = msgspec.json.encode(protocol.End(rows_read=rows_read))
    protocol.write_frame(sink, protocol.Kind.END, end)


def _transform(ingest: Callable[[Any], Any], block: Block, batch: str, sink: BinaryIO) -> None:
    """Send one block's documents and rejects."""
    from mysimbdp.pipelines import accounting, readers  # noqa: PLC0415
    from mysimbdp.sinks import encode  # noqa: PLC0415

    try:
        accounted = accounting.account(
            _call(ingest, readers.to_batch(block, batch)), len(block.rows)
        )
        kept, refused = accounted.kept, accounted.rejects
        if isinstance(accounted.data, list):
            documents, unfit = encode.encode_records(accounted.data)
            refused |= {int(kept[index]): reason for index, reason in unfit}
            kept = kept[[index for index in range(len(kept)) if int(kept[index]) not in refused]]
        else:
            documents = encode.encode_table(accounted.data)
    except (protocol.BadOutputError, encode.EncodeError) as error:
        raise GivenUpError(Cause.BAD_OUTPUT, str(error)) from error
    if len(documents):
        payload = protocol.pack_documents(block.rows[kept], documents)
        protocol.write_frame(sink, protocol.Kind.DOCUMENTS, payload)
    rejects = _describe_rejects(block, refused)
    if rejects:
        protocol.write_frame(sink, protocol.Kind.REJECTS, msgspec.json.encode(rejects))


def _call(ingest: Callable[[Any], Any], batch: Any) -> Any:
    try:
        return ingest(batch)
    except MemoryError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise GivenUpError(Cause.CALLABLE_ERROR, code.describe(error)) from error


def _describe_rejects(block: Block, refused: dict[int, str]) -> list[protocol.RejectedRow]:
    unread = [
        protocol.RejectedRow(
            row=reject.row,
            line=reject.line,
            field=reject.field,
            reason=reject.reason,
            raw=reject.raw[:_MAX_RAW_CHARACTERS],
        )
        for reject in block.rejects
    ]
    return unread + [
        protocol.RejectedRow(
            row=int(block.rows[index]),
            line=block.line_of(index),
            field=None,
            reason=reason,
            raw=_show_row(block, index),
        )
        for index, reason in sorted(refused.items())
    ]


def _show_row(block: Block, index: int) -> str:
    row = (
        block.data[index]
        if isinstance(block.data, list)
        else block.data.slice(index, 1).to_pylist()[0]
    )
    return msgspec.json.encode(row, enc_hook=str).decode()[:_MAX_RAW_CHARACTERS]


if __name__ == "__main__":
    main()
