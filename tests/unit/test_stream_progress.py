"""Positions move only over batches that are all stored."""

from hypothesis import given
from hypothesis import strategies as st

from mysimbdp.streaming.batch import Partition
from mysimbdp.streaming.progress import Progress

A, B = Partition("t.a", 0), Partition("t.a", 1)


def test_a_batch_that_is_done_before_an_older_one_moves_nothing():
    progress = Progress()
    older, newer = progress.take({A: 10}), progress.take({A: 20, B: 5})

    progress.done(newer)
    assert progress.positions() == {}
    progress.done(older)
    assert progress.positions() == {A: 20, B: 5}


def test_positions_that_could_not_be_committed_come_again_but_never_hide_newer_ones():
    progress = Progress()
    progress.done(progress.take({A: 10, B: 1}))
    positions = progress.positions()
    progress.done(progress.take({A: 20}))

    progress.give_back(positions)

    assert progress.positions() == {A: 20, B: 1}


def test_a_partition_that_was_given_away_is_not_committed():
    progress = Progress()
    taken = progress.take({A: 10, B: 1})

    progress.drop([A])
    progress.done(taken)

    assert progress.positions() == {B: 1}


def test_emptiness_is_reached_when_all_is_done():
    progress = Progress()
    assert progress.await_empty(0)
    taken = progress.take({A: 10})
    assert not progress.await_empty(0)
    progress.done(taken)
    assert progress.await_empty(0)


@given(st.permutations(range(8)), st.integers(0, 8))
def test_whatever_the_order_only_a_whole_beginning_is_committed(order, finished):
    progress = Progress()
    taken = [progress.take({A: number + 1}) for number in range(8)]
    done = set(order[:finished])

    for number in order[:finished]:
        progress.done(taken[number])

    beginning = next(number for number in range(9) if number not in done)
    assert progress.positions() == ({A: beginning} if beginning else {})
