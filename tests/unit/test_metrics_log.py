import multiprocessing
from datetime import UTC, datetime, timedelta

from mysimbdp.reporting import metrics_log, report

START = datetime(2024, 3, 14, 23, 43, 36, 544000, tzinfo=UTC)
TOO_LARGE = "File taxi-data.csv is too large (428118778 > 350MB)."


def ingestion(**fields):
    return report.IngestionReport(
        **{
            "id": "20240314T234336-1",
            "tenant": "tenant2",
            "pipeline": "taxi",
            "name": "taxi-data.csv",
            "path": "staging/tenant2/taxi/taxi-data.csv",
            "size_bytes": 107029978,
            "state": report.State.LOADED,
            "started_at": START,
            "ended_at": START + timedelta(seconds=26.872),
            "duration_seconds": 26.872334,
        }
        | fields
    )


REJECTED = {
    "state": report.State.REJECTED,
    "started_at": None,
    "duration_seconds": None,
    "violations": (TOO_LARGE,),
}


def test_a_loaded_file_has_its_times_and_true(tmp_path):
    log = metrics_log.MetricsLog(tmp_path / "metrics.log")
    log.append(ingestion())
    assert log.path.read_text().splitlines() == [
        "tenant,path,bytes,start,end,duration,success,error",
        (
            "tenant2,staging/tenant2/taxi/taxi-data.csv,107029978,2024-03-14T23:43:36.544Z,"
            "2024-03-14T23:44:03.416Z,0:00:26.872334,True,"
        ),
    ]


def test_a_rejected_file_has_no_times_and_no_success_but_its_reason(tmp_path):
    log = metrics_log.MetricsLog(tmp_path / "metrics.log")
    log.append(ingestion(**REJECTED))
    (row,) = log.read()
    assert [row[column] for column in ("start", "end", "duration", "success")] == [""] * 4
    assert row["error"] == TOO_LARGE


def test_a_failed_file_has_its_times_and_false_and_the_named_cause(tmp_path):
    log = metrics_log.MetricsLog(tmp_path / "metrics.log")
    log.append(ingestion(state=report.State.FAILED, cause="timeout", error="It ran over 30m."))
    (row,) = log.read()
    assert (row["success"], row["error"]) == ("False", "timeout: It ran over 30m.")
    assert row["duration"] == "0:00:26.872334"


def test_a_second_row_comes_without_a_second_header(tmp_path):
    log = metrics_log.MetricsLog(tmp_path / "logs" / "metrics.log")
    log.append(ingestion())
    log.append(ingestion(tenant="tenant1"))
    assert [row["tenant"] for row in log.read()] == ["tenant2", "tenant1"]


def test_a_file_name_cannot_forge_a_row_or_a_column(tmp_path):
    log = metrics_log.MetricsLog(tmp_path / "metrics.log")
    log.append(ingestion(path='in/a\ntenant1,forged,"\udcff.csv'))
    assert len(log.path.read_text().splitlines()) == 2
    (row,) = log.read()
    assert row["path"] == r'in/a\ntenant1,forged,"\udcff.csv'
    assert row["tenant"] == "tenant2"


def test_no_log_yet_reads_as_no_rows(tmp_path):
    assert metrics_log.MetricsLog(tmp_path / "metrics.log").read() == []


def append_many(path, number):
    log = metrics_log.MetricsLog(path)
    for index in range(100):
        log.append(ingestion(path=f"{number}-{index}-" + "x" * 10_000))


def test_rows_of_several_processes_stay_whole_under_one_header(tmp_path):
    path = tmp_path / "metrics.log"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append_many, args=(path, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    rows = metrics_log.MetricsLog(path).read()
    assert len(rows) == 400
    assert all(row["success"] == "True" and len(row["path"]) > 10_000 for row in rows)
    assert path.read_text().count("tenant,path") == 1
