"""Work units."""

from hypothesis import given
from hypothesis import strategies as st

from mysimbdp.batch import units

LARGE = units.SMALL_FILES_BYTES + 1


def pieces(*sizes):
    return [
        units.Piece(ingestion=str(number), size_bytes=size) for number, size in enumerate(sizes)
    ]


def test_a_large_file_is_a_unit_of_its_own():
    assert units.plan(pieces(LARGE, 10, LARGE), slots=1) == [["1"], ["0"], ["2"]]


def test_small_files_are_shared_out_over_the_slots():
    planned = units.plan(pieces(*[10] * 8), slots=4)

    assert planned == [["0", "1"], ["2", "3"], ["4", "5"], ["6", "7"]]


def test_a_thousand_small_files_make_about_as_many_units_as_there_are_slots():
    assert len(units.plan(pieces(*[10_000] * 1000), slots=16)) in range(16, 18)


def test_nothing_to_do_is_no_unit():
    assert units.plan([], slots=4) == []


@given(
    st.lists(st.integers(0, 3 * units.SMALL_FILES_BYTES), max_size=1500),
    st.integers(min_value=1, max_value=64),
)
def test_every_file_is_in_exactly_one_unit_and_airflow_can_map_them(sizes, slots):
    planned = units.plan(pieces(*sizes), slots)

    assert sorted(i for unit in planned for i in unit) == sorted(str(i) for i in range(len(sizes)))
    assert all(planned)
    assert len(planned) <= units.MAX_UNITS
