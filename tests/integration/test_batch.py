"""The batch path on a real mongod: admit, ingest in a real child process, settle."""

import json
import os
from datetime import UTC, datetime

import pytest

from mysimbdp.batch import ingest as ingest_module
from mysimbdp.batch.admit import admit
from mysimbdp.batch.ingest import ingest
from mysimbdp.batch.settle import settle

CSV = "name,fare\nann,1.5\nbob,\ncid,3.5\n"


def run(workshop, run_id="run", **options):
    """Do what the DAG does; return the ingestions' reports."""
    for unit in admit(workshop.desk, run_id, **options):
        for ingestion in unit:
            ingest(workshop.desk, ingestion)
    settled = settle(workshop.desk, run_id)
    return [
        workshop.report(ingestion)
        for ingestion in settled.loaded + settled.rejected + settled.failed
    ]


def plain(documents):
    return [{key: value for key, value in row.items() if key != "_id"} for row in documents]


def test_a_file_becomes_documents_and_a_report(workshop):
    shop = workshop()
    shop.land("trips.csv", CSV)

    (report,) = run(shop)

    assert plain(shop.documents()) == [
        {"name": "ann", "fare": 1.5},
        {"name": "bob"},
        {"name": "cid", "fare": 3.5},
    ]
    assert report["state"] == "loaded"
    assert (report["rows_read"], report["rows_stored"], report["rows_rejected"]) == (3, 3, 0)
    assert report["duration_seconds"] > 0
    assert report["peak_memory_bytes"] > 0
    assert shop.mailbox.messages == []


def test_a_loaded_file_is_in_the_archive_of_the_day(workshop):
    shop = workshop()
    shop.land("trips.csv", CSV)

    (report,) = run(shop)

    (archived,) = shop.desk.area.archived(f"{datetime.now(UTC):%Y-%m-%d}")
    assert archived.ingestion == report["_id"]
    assert archived.path.read_text() == CSV
    assert shop.desk.area.ready() == []


@pytest.mark.parametrize("batch", ["arrow", "pandas", "records"])
def test_each_form_of_batch_stores_the_same(workshop, batch):
    shop = workshop(pipeline=f"batch: {batch}")
    shop.land("trips.csv", CSV)

    run(shop)

    assert plain(shop.documents()) == [
        {"name": "ann", "fare": 1.5},
        {"name": "bob"},
        {"name": "cid", "fare": 3.5},
    ]


def test_declared_types_survive(workshop):
    shop = workshop(pipeline="columns: {code: string, id: int64, country: string}")
    shop.land("types.csv", "code,id,country\n00123,1234567890123456789,NA\n")

    run(shop)

    assert plain(shop.documents()) == [
        {"code": "00123", "id": 1234567890123456789, "country": "NA"}
    ]


def test_json_in_both_forms_and_xml_become_documents(workshop):
    shop = workshop(pipeline="batch: records\nxml_row: car")
    shop.land("array.json", '[{"n": 1, "deep": {"x": [1, 2]}}, {"n": null, "s": "t"}]')
    shop.land("lines.jsonl", '{"n": 10}\n{"n": 20}\n')
    shop.land("cars.xml", "<cars><car id='7'><name>Audi</name></car></cars>")

    reports = run(shop)

    assert {report["state"] for report in reports} == {"loaded"}
    stored = plain(shop.documents())
    for document in (
        {"n": 1, "deep": {"x": [1, 2]}},
        {"s": "t"},
        {"n": 10},
        {"n": 20},
        {"id": "7", "name": "Audi"},
    ):
        assert document in stored
    assert len(stored) == 5


def test_the_same_content_again_is_rejected_as_a_duplicate_and_changes_nothing(workshop):
    shop = workshop()
    shop.land("trips.csv", CSV)
    run(shop, "first")
    before = shop.documents()
    shop.land("again.csv", CSV)

    (report,) = run(shop, "second")

    assert report["state"] == "rejected"
    assert [violation["code"] for violation in report["violations"]] == ["duplicate"]
    assert "trips.csv" in report["violations"][0]["message"]
    assert shop.documents() == before


def test_a_failed_file_may_be_sent_again(workshop):
    shop = workshop("def ingest(batch): raise RuntimeError('not today')")
    shop.land("trips.csv", CSV)
    run(shop, "first")
    folder = shop.desk.settings.tenant_pipelines / shop.desk.tenant.tenant
    (folder / "pipeline.py").write_text("def ingest(batch): return batch")
    shop.land("trips.csv", CSV)

    (report,) = run(shop, "second")

    assert report["state"] == "loaded"
    assert len(shop.documents()) == 3


def test_a_rejected_file_is_beside_its_reason_in_the_log_in_the_metrics_and_in_one_mail(workshop):
    shop = workshop(max_file_size="10B")
    shop.land("one.csv", CSV)
    shop.land("two.csv", CSV + "dan,4\n")

    one, two = run(shop)

    folder = shop.desk.area.rejected(one["claimed_at"].date()) / one["_id"]
    assert (folder / "one.csv").read_text() == CSV
    reason = json.loads((folder / "reason.json").read_text())
    assert reason["violations"][0]["code"] == "too_large"
    assert "is too large (31 > 10B)" in reason["violations"][0]["message"]
    log = shop.desk.log.path.read_text()
    assert "one.csv rejected" in log
    assert "two.csv rejected" in log
    assert [row["success"] for row in shop.desk.metrics.read()] == ["", ""]
    (mail,) = shop.mailbox.messages
    assert mail["To"] == "ops@tenant.example"
    assert "one.csv" in mail.get_content()
    assert "two.csv" in mail.get_content()
    assert two["mailed_at"] is not None


def test_settling_again_neither_mails_nor_logs_again(workshop):
    shop = workshop(max_file_size="10B")
    shop.land("one.csv", CSV)
    run(shop)

    settle(shop.desk, "run")

    assert len(shop.mailbox.messages) == 1
    assert len(shop.desk.metrics.read()) == 1


def test_of_two_files_that_overfill_the_staging_area_one_is_rejected_and_the_other_loaded(workshop):
    shop = workshop(storage_space_staging="40B")
    shop.land("one.csv", CSV)
    shop.land("two.csv", CSV.replace("ann", "eve"))

    loaded, rejected = run(shop)

    assert loaded["state"] == "loaded"
    assert rejected["violations"][0]["code"] == "staging_full"


def test_over_the_concurrency_limit_files_wait_by_default(workshop):
    shop = workshop(max_concurrent_ingestions=1)
    shop.land("one.csv", CSV)
    shop.land("two.csv", CSV.replace("ann", "eve"))

    assert [report["state"] for report in run(shop)] == ["loaded", "loaded"]


def test_over_the_concurrency_limit_files_are_rejected_where_the_agreement_says_so(workshop):
    shop = workshop(max_concurrent_ingestions=1, on_concurrency_limit="reject")
    shop.land("one.csv", CSV)
    shop.land("two.csv", CSV.replace("ann", "eve"))

    loaded, rejected = run(shop)

    assert loaded["name"] == "one.csv"
    message = rejected["violations"][0]["message"]
    assert message.startswith("Too many concurrent ingestions for")
    assert message.endswith("Max: 1 Current: 1.")


def test_nothing_in_the_inbox_is_followed_opened_or_executed(workshop, tmp_path):
    shop = workshop()
    secret = tmp_path / "secret.csv"
    secret.write_text(CSV)
    (shop.desk.area.inbox / "link.csv").symlink_to(secret)
    os.mkfifo(shop.desk.area.inbox / "pipe.csv")
    os.link(secret, shop.desk.area.inbox / "hard.csv")
    os.utime(secret, (1, 1))
    shop.land("locked.csv", CSV).chmod(0)
    shop.land("program.csv", b"\x7fELF" + b"\0" * 100)
    shop.land("empty.csv", "")

    reports = run(shop)

    codes = {
        report["name"]: {violation["code"] for violation in report["violations"]}
        for report in reports
    }
    assert codes["link.csv"] == {"symlink", "path_traversal"}
    assert codes["pipe.csv"] == {"not_a_file"}
    assert codes["hard.csv"] == {"hard_link"}
    assert codes["locked.csv"] == {"unreadable"}
    assert codes["program.csv"] == {"wrong_content"}
    assert codes["empty.csv"] == {"empty_file"}
    assert shop.documents() == []
    assert secret.read_text() == CSV


def test_bad_rows_within_the_tolerance_are_in_the_reject_store_with_file_line_and_reason(workshop):
    shop = workshop(pipeline="columns: {fare: float64}\nmax_reject_ratio: 0.5")
    shop.land("trips.csv", "name,fare\nann,1.5\nbob,abc\ncid,3.5\n")

    (report,) = run(shop)

    assert (report["rows_stored"], report["rows_rejected"]) == (2, 1)
    (reject,) = shop.documents("rejects")
    assert (reject["file"], reject["line"], reject["field"]) == ("trips.csv", 3, "fare")
    assert "abc" in reject["reason"]
    assert reject["ingestion"] == report["_id"]


def test_more_bad_rows_than_tolerated_fail_the_file_and_leave_none_of_its_rows(workshop):
    shop = workshop(pipeline="columns: {fare: float64}\nmax_reject_ratio: 0.1")
    shop.land("trips.csv", "name,fare\nann,1.5\nbob,abc\ncid,3.5\n")

    (report,) = run(shop)

    assert (report["state"], report["cause"]) == ("failed", "too_many_rejects")
    assert shop.documents() == []
    assert len(shop.documents("rejects")) == 1


def test_a_file_that_is_all_wrong_is_given_up_before_it_fills_the_reject_store(
    workshop, monkeypatch
):
    monkeypatch.setattr(ingest_module, "ENOUGH_REJECTS", 10)
    shop = workshop(pipeline="columns: {fare: float64}\nmax_reject_ratio: 0.00001")
    shop.land("trips.csv", "fare,text\n" + f"wrong,{'x' * 400}\n" * 30_000)

    (report,) = run(shop)

    assert (report["state"], report["cause"]) == ("failed", "too_many_rejects")
    assert "the rest of the file was not read" in report["error"]
    assert 10 < len(shop.documents("rejects")) < 30_000


def test_rows_that_a_callable_refuses_are_rejected_with_its_reason_and_line(workshop):
    shop = workshop(
        """
        from mysimbdp import sdk

        def ingest(records):
            return [r if "fare" in r else sdk.Reject("no fare") for r in records]
        """,
        pipeline="batch: records\nmax_reject_ratio: 0.5",
    )
    shop.land("trips.csv", CSV)

    run(shop)

    (reject,) = shop.documents("rejects")
    assert (reject["line"], reject["reason"]) == (3, "no fare")
    assert json.loads(reject["raw"])["name"] == "bob"


def test_an_archived_file_is_ingested_again_without_duplicates_and_with_the_code_of_today(workshop):
    shop = workshop()
    shop.land("trips.csv", CSV)
    (first,) = run(shop, "first")
    folder = shop.desk.settings.tenant_pipelines / shop.desk.tenant.tenant
    (folder / "pipeline.py").write_text(
        "def ingest(batch): return batch.append_column('new', batch['name'])"
    )

    (again,) = run(shop, "backfill", day=first["claimed_at"].date())

    assert again["state"] == "loaded"
    assert again["reingested"]
    assert [row["new"] for row in shop.documents()] == ["ann", "bob", "cid"]
    assert len(shop.desk.area.archived("*")) == 1


def test_an_ad_hoc_pattern_chooses_archived_files(workshop):
    shop = workshop()
    shop.land("trips-1.csv", CSV)
    shop.land("trips-2.csv", CSV.replace("ann", "eve"))
    run(shop, "first")

    (again,) = run(shop, "adhoc", pattern="loaded/*/trips-2.csv")

    assert again["name"] == "trips-2.csv"
    assert len(shop.documents()) == 6


def test_an_interrupted_admission_is_finished_by_the_next_attempt_of_the_same_run(workshop):
    """The crash comes after the ledger's entry and before the move."""
    shop = workshop()
    path = shop.land("trips.csv", CSV)
    admit(shop.desk, "run")
    (document,) = shop.desk.ledger.of_run(shop.desk.dag_id, "run")
    (shop.desk.area.claimed(document["_id"]) / "trips.csv").rename(path)
    shop.desk.ledger.note(document["_id"], state="claimed")

    (report,) = run(shop)

    assert report["_id"] == document["_id"]
    assert len(shop.documents()) == 3


def test_what_an_ended_run_left_behind_is_taken_over(workshop):
    shop = workshop()
    shop.land("trips.csv", CSV)
    admit(shop.desk, "dead")

    (report,) = run(shop, "next", has_ended=lambda run_id: run_id == "dead")

    assert report["state"] == "loaded"
    assert len(shop.documents()) == 3


def test_what_a_running_run_works_on_is_left_to_it(workshop):
    shop = workshop()
    shop.land("trips.csv", CSV)
    admit(shop.desk, "alive")

    assert run(shop, "next") == []


def test_a_script_gets_its_file_and_only_its_own_tenants_login(workshop):
    shop = workshop(
        script="""
        import os, sys
        import pymongo

        database = pymongo.MongoClient(os.environ["MONGO_URL"]).get_default_database()
        lines = open(sys.argv[1]).read().splitlines()
        database.rows.insert_many([{"line": line} for line in lines])
        database.environment.insert_one(dict(os.environ))
        """
    )
    shop.land("trips.csv", CSV)

    (report,) = run(shop)

    assert report["state"] == "loaded"
    assert [row["line"] for row in shop.documents()] == CSV.splitlines()
    (environment,) = plain(shop.documents("environment"))
    assert set(environment) <= {"MONGO_URL", "HOME", "TMPDIR", "LANG", "LC_CTYPE"}


def test_a_script_that_fails_fails_the_file_with_its_exit_code(workshop):
    shop = workshop(script="print('about to fail'); raise SystemExit(3)")
    shop.land("trips.csv", CSV)

    (report,) = run(shop)

    assert (report["state"], report["cause"]) == ("failed", "script_error")
    assert "exit code 3" in report["error"]
    assert "about to fail" in shop.desk.log.path.read_text()


def test_a_cleared_run_that_starts_again_ingests_its_archived_files_again(workshop):
    """Airflow reprocesses a backfill under the same run id."""
    shop = workshop()
    shop.land("trips.csv", CSV)
    (first,) = run(shop, "first")
    day = first["claimed_at"].date()
    (once,) = run(shop, "backfill", day=day)

    (again,) = run(shop, "backfill", day=day)

    assert again["_id"] != once["_id"]
    assert again["state"] == "loaded"
    assert len(shop.documents()) == 3


def test_a_file_name_that_is_no_text_is_loaded_under_a_name_that_is(workshop):
    shop = workshop()
    path = shop.land("odd.csv", CSV)
    path.rename(os.fsdecode(os.fsencode(shop.desk.area.inbox) + b"/odd-\xff.csv"))

    (report,) = run(shop)

    assert (report["state"], report["name"]) == ("loaded", "odd-\\xff.csv")
    assert len(shop.documents()) == 3
