"""Read a tenant's file in blocks; runs in the child process, from a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from mysimbdp.pipelines.readers import csv, json, xml
from mysimbdp.pipelines.readers.base import (
    BadContentError,
    Block,
    ReadOptions,
    RowReject,
)
from mysimbdp.pipelines.readers.batches import to_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BadContentError", "Block", "ReadOptions", "RowReject", "read_blocks", "to_batch"]

_READERS = {"CSV": csv.read_blocks, "JSON": json.read_blocks, "XML": xml.read_blocks}


def read_blocks(stream: BinaryIO, file_format: str, options: ReadOptions) -> Iterator[Block]:
    """Read a CSV, JSON or XML file from start to end; the stream need not seek.

    Every row of the file is in exactly one block, as data or as a reject.

    Raises:
        BadContentError: the file as a whole cannot be read; blocks before the place may already
            have been given out.

    """
    return _READERS[file_format](stream, options)
