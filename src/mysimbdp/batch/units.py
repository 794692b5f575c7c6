"""Cut admitted files into work units: a large file alone, many small ones together."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

#: Starting a task costs about a second; a unit of small files should be worth that.
SMALL_FILES_BYTES = 32 * 1024 * 1024
#: Airflow maps one task over at most this many units (`[core] max_map_length`).
MAX_UNITS = 1024


@attrs.frozen(kw_only=True)
class Piece:
    """An admitted file."""

    ingestion: str
    size_bytes: int


def plan(pieces: Sequence[Piece], slots: int) -> list[list[str]]:
    """Group files so that every slot has work and no unit of small files is larger than need be.

    Files keep their order within a unit; the first unit holds the file that came first.
    """
    alone = [[piece.ingestion] for piece in pieces if piece.size_bytes > SMALL_FILES_BYTES]
    small = [piece for piece in pieces if piece.size_bytes <= SMALL_FILES_BYTES]
    total_bytes = sum(piece.size_bytes for piece in small)
    target_bytes = max(total_bytes // slots, 1)
    units: list[list[str]] = []
    filled_bytes = target_bytes
    for piece in small:
        if filled_bytes >= min(target_bytes, SMALL_FILES_BYTES):
            units.append([])
            filled_bytes = 0
        units[-1].append(piece.ingestion)
        filled_bytes += piece.size_bytes
    return (units + alone)[: MAX_UNITS - 1] + _joined((units + alone)[MAX_UNITS - 1 :])


def _joined(units: list[list[str]]) -> list[list[str]]:
    rest = [ingestion for unit in units for ingestion in unit]
    return [rest] if rest else []
