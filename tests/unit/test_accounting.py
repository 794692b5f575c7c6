"""Every row that a callable is given is stored or rejected, once."""

import pandas as pd
import pyarrow as pa
import pytest

from mysimbdp import sdk
from mysimbdp.pipelines.accounting import DROPPED, account
from mysimbdp.pipelines.protocol import BadOutputError


def test_a_table_of_all_rows_keeps_all():
    accounted = account(pa.table({"a": [1, 2, 3]}), 3)

    assert accounted.kept.tolist() == [0, 1, 2]
    assert accounted.rejects == {}


def test_a_result_says_why_the_missing_rows_are_missing():
    accounted = account(sdk.Result(pa.table({"a": [1, 3]}), {1: "negative"}), 3)

    assert accounted.kept.tolist() == [0, 2]
    assert accounted.rejects == {1: "negative"}


def test_a_frame_tells_by_its_index_which_rows_it_dropped():
    frame = pd.DataFrame({"a": [1, -2, 3]})

    accounted = account(frame[frame.a > 0], 3)

    assert accounted.kept.tolist() == [0, 2]
    assert accounted.rejects == {1: DROPPED}


def test_a_frame_may_give_its_own_reasons():
    frame = pd.DataFrame({"a": [1, -2, 3]})

    assert account(sdk.Result(frame[frame.a > 0], {1: "negative"}), 3).rejects == {1: "negative"}


def test_a_sorted_frame_keeps_each_row_with_its_own_index():
    frame = pd.DataFrame({"a": [3, 1, 2]}).sort_values("a")

    accounted = account(frame, 3)

    assert dict(zip(accounted.kept.tolist(), accounted.data["a"].to_pylist(), strict=True)) == {
        0: 3,
        1: 1,
        2: 2,
    }


def test_a_reject_in_the_place_of_a_record_is_not_stored():
    accounted = account([{"a": 1}, sdk.Reject("no fare"), {"a": 3}], 3)

    assert accounted.kept.tolist() == [0, 2]
    assert accounted.data == [{"a": 1}, {"a": 3}]
    assert accounted.rejects == {1: "no fare"}


@pytest.mark.parametrize(
    "output",
    [
        pa.table({"a": [1, 2]}),
        pa.table({"a": [1, 2, 3, 4]}),
        [{"a": 1}, {"a": 2}],
        [{"a": 1}, {"a": 2}, None],
        sdk.Result(pa.table({"a": [1, 2, 3]}), {1: "both"}),
        sdk.Result(pa.table({"a": [1, 2]}), {9: "no such row"}),
        pd.DataFrame({"a": [1, 2, 3, 4]}),
        pd.DataFrame({"a": [1, 2]}, index=[0, 0]),
        pd.DataFrame({"a": [1]}, index=["x"]),
        None,
        "a string",
    ],
    ids=[
        "a row lost", "a row invented", "a record lost", "not a record", "returned and rejected",
        "rejects no row", "frame grew", "index twice", "index lost", "nothing", "not a batch",
    ],
)  # fmt: skip
def test_rows_that_do_not_add_up_are_bad_output(output):
    with pytest.raises(BadOutputError):
        account(output, 3)
