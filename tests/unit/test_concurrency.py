from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mysimbdp.reporting import concurrency, plots, report

START = datetime(2026, 11, 22, 12, tzinfo=UTC)


def interval(start, end, megabytes, tenant="tenant1"):
    return concurrency.Interval(
        tenant=tenant, start_seconds=start, end_seconds=end, megabytes=megabytes
    )


def test_one_ingestion_alone_is_seen_at_one_with_its_own_speed():
    ran = [interval(0, 10, 50)]
    (alone,) = concurrency.levels(concurrency.per_ingestor(ran), by_time=False)
    assert (alone.concurrent, alone.median, alone.observations) == (1, 5.0, 1)
    assert concurrency.levels(concurrency.total(ran), by_time=True) == (alone,)


def test_overlapping_ingestions_add_up_while_they_overlap():
    ran = [interval(0, 10, 100), interval(5, 15, 20)]
    one, two = concurrency.levels(concurrency.total(ran), by_time=True)
    assert (two.concurrent, two.seconds, two.average) == (2, 5.0, 12.0)
    # 5 s of the first alone at 10 MB/s, 5 s of the second alone at 2 MB/s.
    assert (one.concurrent, one.seconds, one.average) == (1, 10.0, 6.0)


def test_an_ingestion_is_seen_once_at_the_number_that_ran_on_average_beside_it():
    ran = [interval(0, 10, 100), interval(5, 6, 3), interval(20, 30, 50), interval(21, 30, 27)]
    observed = concurrency.per_ingestor(ran)
    assert [(each.megabytes_per_second, each.concurrent) for each in observed] == [
        (10.0, 1),
        (3.0, 2),
        (5.0, 2),
        (3.0, 2),
    ]


def test_total_throughput_follows_time_while_ingestors_count_alike():
    ran = [interval(0, 100, 1000), interval(200, 201, 1), interval(300, 301, 1)]
    (total,) = concurrency.levels(concurrency.total(ran), by_time=True)
    (ingestor,) = concurrency.levels(concurrency.per_ingestor(ran), by_time=False)
    assert (total.median, total.observations) == (10.0, 3)
    assert (ingestor.median, ingestor.observations) == (1.0, 3)


def test_a_failed_ingestion_takes_its_place_but_has_no_throughput():
    ran = [interval(0, 10, 100), interval(0, 10, None)]
    (together,) = concurrency.levels(concurrency.total(ran), by_time=True)
    assert (together.concurrent, together.average) == (2, 10.0)
    assert [each.megabytes_per_second for each in concurrency.per_ingestor(ran)] == [10.0]


def test_one_that_starts_as_another_ends_does_not_run_beside_it():
    ran = [interval(0, 5, 10), interval(5, 10, 10)]
    assert [
        level.concurrent for level in concurrency.levels(concurrency.total(ran), by_time=True)
    ] == [1]


SPANS = st.lists(
    st.tuples(st.integers(0, 1000), st.integers(1, 100), st.integers(0, 10**6)), max_size=30
)


@given(SPANS)
def test_no_byte_and_no_second_is_lost_in_the_sweep(spans):
    ran = [interval(start, start + length, megabytes) for start, length, megabytes in spans]
    together = concurrency.total(ran)
    moved = sum(each.megabytes_per_second * each.seconds for each in together)
    assert moved == pytest.approx(sum(megabytes for _, _, megabytes in spans))
    busy = sum(each.concurrent * each.seconds for each in together)
    assert busy == pytest.approx(sum(length for _, length, _ in spans))


def ingestion(name, state, started, ended):
    return report.IngestionReport(
        id=name,
        tenant="tenant1",
        pipeline="taxi",
        name=name,
        path=name,
        size_bytes=2**20,
        state=report.State(state),
        started_at=started,
        ended_at=ended,
    )


def test_only_ingestions_that_ran_have_an_interval():
    ended = START + timedelta(seconds=1)
    ran = concurrency.intervals(
        [
            ingestion("a", "loaded", START, ended),
            ingestion("b", "failed", START, ended),
            ingestion("c", "rejected", None, ended),
            ingestion("d", "loading", START, None),
            ingestion("e", "loaded", START, START),
        ]
    )
    assert [each.megabytes for each in ran] == [1.0, None]


def test_both_pictures_are_drawn_from_a_single_ingestion(tmp_path):
    paths = plots.write(tmp_path / "report", [interval(0, 10, 50)])
    assert [path.name for path in paths] == [
        "throughput_vs_concurrent_ingestions.png",
        "total_throughput_vs_concurrent_ingestions.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
