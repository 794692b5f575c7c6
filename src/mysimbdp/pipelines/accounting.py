"""Match what a tenant callable returns with the rows that it was given: every row counts once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pyarrow as pa

from mysimbdp import sdk
from mysimbdp.pipelines.protocol import BadOutputError

DROPPED = "dropped by the tenant callable"


@attrs.frozen(kw_only=True)
class Accounted:
    """The outcome of one batch.

    Attributes:
        kept: indices of the batch whose rows are stored, in the order of `data`.
        data: an Arrow table, or a list of dicts.
        rejects: index of the batch -> reason.

    """

    kept: np.ndarray[Any, Any]
    data: pa.Table | list[dict[str, Any]]
    rejects: dict[int, str]


def account(output: Any, rows: int) -> Accounted:
    """Split a callable's output for a batch of `rows` rows into kept and rejected ones.

    Raises:
        BadOutputError: rows are missing or invented, or the output is of no known form.

    """
    data, rejects = output, {}
    if isinstance(output, sdk.Result):
        data, rejects = output.data, dict(output.rejects)
        _check_indices(rejects, rows)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return Accounted(kept=_remaining(rows, rejects, data.num_rows), data=data, rejects=rejects)
    if isinstance(data, pd.DataFrame):
        return _account_frame(data, rejects, rows)
    if isinstance(data, list):
        return _account_records(data, rejects, rows)
    raise BadOutputError(
        f"The callable returned {type(data).__name__}; expected a table, a data frame, a list of "
        "records or sdk.Result."
    )


def _account_frame(frame: pd.DataFrame, rejects: dict[int, str], rows: int) -> Accounted:
    """Use the frame's index, which a filter keeps: what is gone from it was dropped on purpose."""
    kept = frame.index.to_numpy()
    if kept.dtype.kind not in "iu" or len(np.unique(kept)) != len(kept):
        raise BadOutputError(
            "The data frame's index must stay that of the batch, so that rows can be counted; "
            "do not reset or set it."
        )
    _check_indices(kept, rows)
    both = set(kept.tolist()) & rejects.keys()
    if both:
        raise BadOutputError(f"Row {min(both)} of the batch was both returned and rejected.")
    dropped = np.setdiff1d(np.arange(rows), kept)
    reasons = {int(index): rejects.get(int(index), DROPPED) for index in dropped}
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return Accounted(kept=kept.astype(np.int64), data=table, rejects=reasons)


def _account_records(records: list[Any], rejects: dict[int, str], rows: int) -> Accounted:
    kept = _remaining(rows, rejects, len(records))
    refused = {
        int(index): record.reason
        for index, record in zip(kept, records, strict=True)
        if isinstance(record, sdk.Reject)
    }
    stored = [record for record in records if not isinstance(record, sdk.Reject)]
    for record in stored:
        if not isinstance(record, dict):
            raise BadOutputError(
                f"The callable returned a {type(record).__name__} among its records; expected a "
                "dict or sdk.Reject."
            )
    kept = np.array([index for index in kept if int(index) not in refused], dtype=np.int64)
    return Accounted(kept=kept, data=stored, rejects=rejects | refused)


def _remaining(rows: int, rejects: dict[int, str], returned: int) -> np.ndarray[Any, Any]:
    if returned + len(rejects) != rows:
        raise BadOutputError(
            f"The callable was given {rows} rows and returned {returned} with {len(rejects)} "
            "rejected; every row must be returned or rejected (sdk.Reject, sdk.Result)."
        )
    return np.setdiff1d(np.arange(rows), np.fromiter(rejects, dtype=np.int64, count=len(rejects)))


def _check_indices(indices: Iterable[Any], rows: int) -> None:
    for index in indices:
        if not 0 <= index < rows:
            raise BadOutputError(f"The callable names row {index} of a batch of {rows} rows.")
