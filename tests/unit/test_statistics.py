from datetime import UTC, datetime, timedelta

import pytest

from mysimbdp.reporting import report, statistics

START = datetime(2026, 11, 22, 12, tzinfo=UTC)


def ingestion(tenant="tenant1", state="loaded", megabytes=10, seconds=2.0, **fields):
    ran = state != "rejected"
    return report.IngestionReport(
        id=f"{tenant}-{state}-{megabytes}",
        tenant=tenant,
        pipeline="taxi",
        name="taxi.csv",
        path="taxi.csv",
        size_bytes=megabytes * 2**20,
        state=report.State(state),
        started_at=START if ran else None,
        ended_at=START + timedelta(seconds=seconds) if ran else None,
        duration_seconds=seconds if ran else None,
        **fields,
    )


def test_rejected_and_failed_files_count_as_failures_of_their_tenant_only():
    one, two = statistics.per_tenant(
        [
            ingestion("tenant2", "rejected"),
            ingestion("tenant1"),
            ingestion("tenant2", "failed"),
            ingestion("tenant2"),
        ]
    )
    assert (one.tenant, one.failures, one.successes) == ("tenant1", 0, 1)
    assert (two.tenant, two.failures, two.successes) == ("tenant2", 2, 1)
    assert (two.rejected, two.failed) == (1, 1)


def test_speed_is_averaged_over_loaded_files_in_megabytes_of_two_to_the_twenty():
    (line,) = statistics.per_tenant(
        [
            ingestion(megabytes=10, seconds=2.0),
            ingestion(megabytes=60, seconds=4.0),
            ingestion(state="failed", megabytes=9_000, seconds=1.0),
        ]
    )
    assert line.average_megabytes_per_second == pytest.approx(10.0)
    assert line.maximum_megabytes_per_second == pytest.approx(15.0)
    assert line.average_duration_seconds == pytest.approx(3.0)
    assert line.maximum_duration_seconds == pytest.approx(4.0)
    assert line.loaded_bytes == 70 * 2**20


def test_all_tenants_together_add_up():
    line = statistics.of_all(
        [
            ingestion("tenant1", rows_stored=100, rows_rejected=1),
            ingestion("tenant2", rows_stored=20),
            ingestion("tenant2", "rejected"),
        ]
    )
    assert line.tenant is None
    assert (line.successes, line.failures) == (2, 1)
    assert (line.rows_stored, line.rows_rejected) == (120, 1)


def test_unfinished_ingestions_are_neither_success_nor_failure():
    assert statistics.per_tenant([ingestion(state="loading")]) == ()


def test_a_tenant_with_rejected_files_only_has_no_speed():
    (line,) = statistics.per_tenant([ingestion(state="rejected")])
    assert line.average_megabytes_per_second is None
    assert line.maximum_duration_seconds is None
    assert line.failures == 1
