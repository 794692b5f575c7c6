"""Lay out documents side by side: byte columns that one pass of Arrow joins row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

Numbers = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
#: The same bytes in every row, or one number a row.
Piece = bytes | Numbers

_LENGTH_BYTES = 4
_NO_SEPARATOR = pa.scalar(b"", pa.large_binary())


class Layout:
    """The documents of some rows, put together from left to right.

    Neighbouring pieces of fixed width become one array, because each further array costs time per
    row, while a wider one hardly does.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.lengths = np.full(rows, _LENGTH_BYTES, dtype=np.int64)
        self._runs: list[list[Piece] | pa.Array] = [[]]

    def fixed(self, *pieces: Piece) -> None:
        """Append pieces that every row has."""
        if not isinstance(self._runs[-1], list):
            self._runs.append([])
        self._runs[-1].extend(pieces)
        self.lengths += _width(pieces)

    def optional(self, present: Flags, *pieces: Piece) -> None:
        """Append pieces that only some rows have."""
        self._runs.append(_binary(pieces, self.rows, present))
        self.lengths += present * _width(pieces)

    def variable(self, data: pa.LargeBinaryArray, lengths: npt.NDArray[np.int64]) -> None:
        """Append bytes of any length; a null has none."""
        self._runs.append(data)
        self.lengths += lengths

    def join(self) -> pa.LargeBinaryArray:
        """Give one document a row, its length in front."""
        self._runs[0] = [self.lengths.astype("<i4"), *self._runs[0]]
        arrays = [
            _binary(run, self.rows, None) if isinstance(run, list) else run for run in self._runs
        ]
        return pc.binary_join_element_wise(*arrays, _NO_SEPARATOR, null_handling="skip")


def _width(pieces: Sequence[Piece]) -> int:
    return sum(len(piece) if isinstance(piece, bytes) else piece.itemsize for piece in pieces)


def _binary(pieces: Sequence[Piece], rows: int, present: Flags | None) -> pa.LargeBinaryArray:
    """Interleave pieces; packed fields let NumPy copy a whole value at a time."""
    fields = [
        (f"piece{number}", f"V{len(piece)}" if isinstance(piece, bytes) else piece.dtype)
        for number, piece in enumerate(pieces)
    ]
    data = np.empty(rows, dtype=fields)
    for (name, _), piece in zip(fields, pieces, strict=True):
        data[name] = np.void(piece) if isinstance(piece, bytes) else piece
    validity = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little"))
    offsets = pa.py_buffer(np.arange(rows + 1, dtype=np.int64) * _width(pieces))
    return pa.Array.from_buffers(pa.large_binary(), rows, [validity, offsets, pa.py_buffer(data)])
