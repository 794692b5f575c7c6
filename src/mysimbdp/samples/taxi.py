"""Taxi trips as CSV, of any size: the same seed and size give the same bytes, on every machine."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mysimbdp import errors

#: The width and the rules of the columns are chosen so that a row has about 142 bytes.
COLUMNS = (
    "trip_id",
    "vendor_id",
    "pickup_datetime",
    "dropoff_datetime",
    "passenger_count",
    "trip_distance",
    "rate_code",
    "store_and_fwd_flag",
    "pickup_location_id",
    "dropoff_location_id",
    "payment_type",
    "fare_amount",
    "tip_amount",
    "total_amount",
    "note",
)
ROW_BYTES = 142
MISSING_RATIO = 0.1
#: All ids have 19 digits: too many for a float, just enough for int64.
_FIRST_TRIP_ID = 10**18
_TRIPS_PER_SEED = 10**10
_SEEDS = 8 * 10**8
_BLOCK_ROWS = 100_000

_HEADER = (",".join(COLUMNS) + "\n").encode()
_YEAR_START = np.datetime64("2024-01-01T00:00:00", "s")
_YEAR_SECONDS = 366 * 86_400
_VENDORS = ("00123", "00456", "01789", "00042")
#: Already quoted as CSV. NA is a word here, not a missing value.
_NOTES = (
    '"NA"',
    '"paid in cash, no receipt was asked for"',
    '"asked for ""the long way"", then tipped well"',
    '"two suitcases, one child seat, a friendly dog"',
    '"meter restarted, see the dispatcher\'s log, page 3"',
    '"stop at the bank, 5 min, then on to the airport"',
    '"guest said ""keep the change, please"" and left"',
    '"heavy rain; detour over the bridge, toll was paid"',
)


@attrs.frozen
class _Dice:
    """Throws the values of one block of rows."""

    generator: np.random.Generator
    rows: int

    def whole(self, low: int, high: int) -> np.ndarray[Any, Any]:
        """Return integers from `low` to `high` - 1."""
        return self.generator.integers(low, high, self.rows, dtype=np.int64)

    def chance(self, ratio: float) -> np.ndarray[Any, Any]:
        """Return True for about `ratio` of the rows."""
        return self.generator.random(self.rows, dtype=np.float32) < ratio


def write_taxi(
    path: Path,
    rows: int | None = None,
    size_bytes: int | None = None,
    seed: int = 0,
    *,
    refund_ratio: float = 0.0,
) -> int:
    """Write taxi trips to `path` and return the number of rows.

    Give either `rows` or `size_bytes`; the file then ends with the last whole row that fits. About
    `refund_ratio` of the rows have a negative fare. Files of different seeds share no trip_id.

    Raises:
        UsageError: both or none of `rows` and `size_bytes` are given.

    """
    if (rows is None) == (size_bytes is None):
        raise errors.UsageError(
            "Give the number of rows or the size of the taxi file, one of them."
        )
    with path.open("wb") as file:
        file.write(_HEADER)
        if rows is not None:
            return _write_rows(file, rows, seed, refund_ratio)
        return _write_bytes(file, (size_bytes or 0) - len(_HEADER), seed, refund_ratio)


def read_lines(seed: int = 0) -> Iterator[bytes]:
    """Yield trips without end, each a line without its end; no two have the same trip_id."""
    for first in itertools.count(0, _BLOCK_ROWS):
        yield from _bytes_of(_block(seed, first, 0.0)).to_pybytes().splitlines()


def _write_rows(file: BinaryIO, rows: int, seed: int, refund_ratio: float) -> int:
    for first in range(0, rows, _BLOCK_ROWS):
        lines = _block(seed, first, refund_ratio).slice(0, rows - first)
        file.write(_bytes_of(lines))
    return rows


def _write_bytes(file: BinaryIO, room: int, seed: int, refund_ratio: float) -> int:
    rows = 0
    while room > 0:
        lines = _block(seed, rows, refund_ratio)
        ends = np.cumsum(pc.binary_length(lines).to_numpy())
        fitting = int(np.searchsorted(ends, room, side="right"))
        file.write(_bytes_of(lines.slice(0, fitting)))
        rows += fitting
        room = room - int(ends[-1]) if fitting == len(lines) else 0
    return rows


def _bytes_of(lines: pa.StringArray) -> pa.Buffer:
    """Return the text of the lines, which lie one after the other in the array's own memory."""
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)
    start, end = offsets[lines.offset], offsets[lines.offset + len(lines)]
    return lines.buffers()[2].slice(int(start), int(end - start))


def _block(seed: int, first_row: int, refund_ratio: float) -> pa.StringArray:
    """Return whole lines, each with its line end; a block depends on its seed and place only."""
    dice = _Dice(np.random.default_rng([seed, first_row]), _BLOCK_ROWS)
    first_id = _FIRST_TRIP_ID + (seed % _SEEDS) * _TRIPS_PER_SEED + first_row
    pickup = _YEAR_START + dice.whole(0, _YEAR_SECONDS)
    fare_cents = dice.whole(350, 9_000)
    tip_cents = dice.whole(0, 1_500)
    tip_cents[dice.chance(MISSING_RATIO)] = 0
    fare_cents[dice.chance(refund_ratio)] *= -1
    columns = (
        pa.array(np.arange(first_id, first_id + dice.rows)).cast(pa.string()),
        _pick(dice.whole(0, len(_VENDORS)), _VENDORS),
        _time(pickup),
        _time(pickup + dice.whole(120, 5_400)),
        _some_missing(dice, _pick(dice.whole(0, 6), "123456")),
        _hundredths(dice.whole(30, 3_000)),
        _some_missing(dice, _pick(dice.whole(0, 6), "123456")),
        _some_missing(dice, _pick(dice.chance(0.03).astype(np.int64), "NY")),
        _pick(dice.whole(0, 264), [str(number) for number in range(1, 265)]),
        _pick(dice.whole(0, 264), [str(number) for number in range(1, 265)]),
        _pick(dice.whole(0, 4), "1234"),
        _hundredths(fare_cents),
        pc.if_else(pa.array(tip_cents == 0), "", _hundredths(tip_cents)),
        _hundredths(fare_cents + tip_cents),
        _some_missing(dice, _pick(dice.whole(0, len(_NOTES)), _NOTES)),
    )
    return pc.binary_join_element_wise(pc.binary_join_element_wise(*columns, ","), "\n", "")


def _pick(indices: np.ndarray[Any, Any], texts: Any) -> pa.StringArray:
    return pa.array(list(texts)).take(pa.array(indices))


def _some_missing(dice: _Dice, texts: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pa.array(dice.chance(MISSING_RATIO)), "", texts)


def _time(moments: np.ndarray[Any, Any]) -> pa.StringArray:
    return pa.array(moments).cast(pa.string())


def _hundredths(numbers: np.ndarray[Any, Any]) -> pa.StringArray:
    """Write whole hundredths with their point, exactly, with a table of all that occur."""
    low = int(numbers.min())
    texts = [
        f"{'-' if number < 0 else ''}{abs(number) // 100}.{abs(number) % 100:02}"
        for number in range(low, int(numbers.max()) + 1)
    ]
    return _pick(numbers - low, texts)
