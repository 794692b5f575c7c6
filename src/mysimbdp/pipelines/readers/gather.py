"""Gather single records of JSON or XML into blocks, cast to their declared types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mysimbdp.pipelines.readers import base, scalars

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BLOCK_RECORDS = 10_000
BLOCK_BYTES = 4 * 1024 * 1024


@attrs.frozen(kw_only=True)
class Item:
    """One row of a file as the parser gave it.

    Attributes:
        line: where it begins, from 1; None if that is not known.
        size: its length in the file, roughly, in bytes.
        value: what it says; only a dict can be kept.
        fault: why it cannot be kept; None if it can.
        raw: gives its source text.

    """

    line: int | None
    size: int
    value: Any
    fault: str | None
    raw: Callable[[], str]


@attrs.define
class _Stretch:
    first_row: int
    size: int = 0
    rows: list[int] = attrs.field(factory=list)
    lines: list[int | None] = attrs.field(factory=list)
    records: list[base.Record] = attrs.field(factory=list)
    rejects: list[base.RowReject] = attrs.field(factory=list)

    @property
    def next_row(self) -> int:
        return self.first_row + len(self.rows) + len(self.rejects)

    @property
    def is_full(self) -> bool:
        return self.size >= BLOCK_BYTES or self.next_row - self.first_row >= BLOCK_RECORDS

    def add(self, item: Item, options: base.ReadOptions) -> None:
        row = self.next_row
        self.size += item.size
        try:
            record = scalars.cast_record(_object(item), options)
        except scalars.UnfitError as error:
            reject = base.RowReject(
                row=row, line=item.line, field=error.field, reason=str(error), raw=item.raw()
            )
            self.rejects.append(reject)
        else:
            self.rows.append(row)
            self.lines.append(item.line)
            self.records.append(record)

    def block(self) -> base.Block:
        return base.Block(
            rows=np.array(self.rows, dtype=np.int64),
            data=self.records,
            rejects=self.rejects,
            line_of=_look_up(self.lines),
        )


def blocks(items: Iterator[Item], options: base.ReadOptions) -> Iterator[base.Block]:
    """Yield a block for each 10,000 items or 4 MB."""
    stretch = _Stretch(0)
    for item in items:
        stretch.add(item, options)
        if stretch.is_full:
            yield stretch.block()
            stretch = _Stretch(stretch.next_row)
    if stretch.next_row > stretch.first_row:
        yield stretch.block()


def _object(item: Item) -> base.Record:
    if item.fault:
        raise scalars.UnfitError(item.fault)
    if not isinstance(item.value, dict):
        raise scalars.UnfitError(f"expected an object, found {base.found(item.value)}")
    return item.value


def _look_up(lines: Sequence[int | None]) -> Callable[[int], int | None]:
    return lambda index: lines[index]
