"""Give a tenant callable the kind of batch that its registration asks for."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa

from mysimbdp.pipelines.readers import base

#: NumPy has no integer and no bool beside a missing value; a float would lose digits of a long id.
_NULLABLE = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def to_batch(block: base.Block, kind: str) -> Any:
    """Convert a block's data: "arrow" to a table, "pandas" to a frame, "records" to dicts.

    The frame's index counts from 0; missing values are nulls, and absent from dicts.

    Raises:
        BadContentError: records do not fit into columns, because one holds different types.

    """
    if kind == "records":
        return block.data if isinstance(block.data, list) else _to_records(block.data)
    table = block.data if isinstance(block.data, pa.Table) else _to_table(block.data)
    return table if kind == "arrow" else table.to_pandas(types_mapper=_NULLABLE.get)


def _to_records(table: pa.Table) -> list[base.Record]:
    columns = [column.to_pylist() for column in table.columns]
    names = table.column_names
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns, strict=True)
    ]


def _to_table(records: list[base.Record]) -> pa.Table:
    names = dict.fromkeys(name for record in records for name in record)
    if not names:
        # A table without columns forgets how many rows it has.
        return pa.Table.from_struct_array(pa.array(records, pa.struct([])))
    columns = {name: _to_array(name, [record.get(name) for record in records]) for name in names}
    return pa.table(columns)


def _to_array(name: str, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise base.BadContentError(
            f"column {name}: expected values of one type, found {' and '.join(kinds)}; declare its "
            'type or register the pipeline with batch: "records"'
        ) from error
