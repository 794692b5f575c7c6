"""Turn stretches of CSV into Arrow tables of settled types, and single out the rows at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from mysimbdp.pipelines.readers import base, columns, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mysimbdp.pipelines.readers.boundaries import Records
    from mysimbdp.pipelines.readers.columns import Column

#: Index in a table -> the column at fault and what is wrong with its value.
_Faults = dict[int, tuple[str, str]]


@attrs.frozen(kw_only=True)
class TableReader:
    """Read one file, whose columns are settled."""

    columns: tuple[Column, ...]
    missing: tuple[str, ...]

    @classmethod
    def sampled(cls, names: list[str], sample: bytes, options: base.ReadOptions) -> TableReader:
        """Settle every column's type by the registration, else by the first records."""
        missing = tuple(dict.fromkeys(("", *options.missing)))
        raw = parse.parse(sample, names, dict.fromkeys(names, pa.binary()), ("",), [])
        settled = []
        for name in names:
            values = _without(columns.utf8(_array(raw[name]))[0], missing)
            kind = options.columns.get(name)
            settled.append(
                columns.declared(name, kind, values) if kind else columns.inferred(name, values)
            )
        return cls(columns=tuple(settled), missing=missing)

    def read(self, records: Records, first_row: int) -> base.Block:
        """Parse the fast way; only where that finds a fault, look at each value."""
        invalid: list[pyarrow.csv.InvalidRow] = []
        faults: _Faults = {}
        table = self._read_fast(records.data, invalid)
        if table is None:
            invalid.clear()
            table, faults = self._read_closely(records.data, invalid)
        return _block(records, first_row, table, faults, invalid)

    def _read_fast(self, data: bytes, invalid: list[pyarrow.csv.InvalidRow]) -> pa.Table | None:
        """Let Arrow parse to the right types at once; None if a value does not fit."""
        types = {column.name: column.arrow for column in self.columns}
        in_texts = not self._has_exempt
        try:
            table = parse.parse(data, self._names, types, self.missing, invalid, in_texts=in_texts)
        except pa.ArrowInvalid:
            return None
        if self._is_altered(data, table):
            return None
        for position, column in enumerate(self.columns):
            values = _array(table[position])
            if column.arrow == pa.string() and self._has_exempt:
                values = _without(values, self._marks(column))
            if column.kind == "decimal":
                values, bad = columns.cast(values, column)
                if bad.any():
                    return None
            table = table.set_column(position, column.name, values)
        return table

    def _read_closely(
        self, data: bytes, invalid: list[pyarrow.csv.InvalidRow]
    ) -> tuple[pa.Table, _Faults]:
        """Read all as bytes and cast value by value where that is needed."""
        raw = parse.parse(
            data, self._names, dict.fromkeys(self._names, pa.binary()), ("",), invalid
        )
        faults: _Faults = {}
        arrays = []
        for column in self.columns:
            source = _array(raw[column.name])
            texts, broken = columns.utf8(source)
            _note(faults, column.name, "UTF-8 text", source, broken)
            values, bad = columns.cast(_without(texts, self._marks(column)), column)
            _note(faults, column.name, column.kind, texts, bad)
            arrays.append(values)
        return pa.Table.from_arrays(arrays, names=self._names), faults

    @property
    def _names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def _has_exempt(self) -> bool:
        """Tell whether a declared text column keeps marks that are missing elsewhere."""
        return len(self.missing) > 1 and any(map(_is_exempt, self.columns))

    def _marks(self, column: Column) -> Sequence[str]:
        return ("",) if _is_exempt(column) else self.missing

    def _is_altered(self, data: bytes, table: pa.Table) -> bool:
        """Tell whether an inferred number was written so that reading it as one loses something."""
        numbers = [column for column in self.columns if column.is_inferred_number]
        floats = [column.name for column in numbers if column.kind == "float64"]
        if not all(pc.all(pc.is_finite(table[name]), min_count=0).as_py() for name in floats):
            return True
        if not numbers or not parse.has_odd_number(data):
            return False
        types = {column.name: pa.string() for column in numbers}
        texts = parse.parse(data, self._names, types, ("",), [])
        return any(columns.is_altered(_array(texts[name])) for name in types)


def _is_exempt(column: Column) -> bool:
    return column.declared and column.kind == "string"


def _without(texts: pa.Array, missing: Sequence[str]) -> pa.Array:
    nothing = pa.scalar(None, texts.type)
    return pc.if_else(pc.is_in(texts, pa.array(missing, texts.type)), nothing, texts)


def _note(faults: _Faults, name: str, kind: str, source: pa.Array, bad: columns.Mask) -> None:
    """Keep the first fault of each row."""
    for index in np.flatnonzero(bad).tolist():
        found = base.found(source[index].as_py())
        faults.setdefault(index, (name, f"column {name}: expected {kind}, found {found}"))


def _block(
    records: Records,
    first_row: int,
    table: pa.Table,
    faults: _Faults,
    invalid: Sequence[pyarrow.csv.InvalidRow],
) -> base.Block:
    places = np.arange(table.num_rows + len(invalid), dtype=np.int64)
    uneven = {row.number - 1: row for row in invalid}
    places = np.delete(places, list(uneven))
    reasons: dict[int, tuple[str | None, str]] = {
        place: (None, f"expected {row.expected_columns} fields, found {row.actual_columns}")
        for place, row in uneven.items()
    }
    reasons |= {int(places[index]): fault for index, fault in faults.items()}
    if faults:
        keep = np.delete(np.arange(table.num_rows), list(faults))
        table, places = table.take(keep), places[keep]
    rejects = [
        base.RowReject(
            row=first_row + place,
            line=records.line(place),
            field=field,
            reason=reason,
            raw=records.text(place),
        )
        for place, (field, reason) in sorted(reasons.items())
    ]
    return base.Block(
        rows=places + first_row,
        data=table,
        rejects=rejects,
        line_of=_line_of(records, places),
    )


def _line_of(records: Records, places: base.Rows) -> Callable[[int], int | None]:
    return lambda index: records.line(int(places[index]))


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
