"""The batch path as its users see it, on the whole stack: files in, documents out, once."""

import contextlib
import email
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pymongo
import pytest
from pymongo.errors import OperationFailure

from mysimbdp.samples import public, taxi, violations

ROWS = 40_000
SETTLE_SECONDS = 240
AGREEMENT = """
data_constraints: {file_types: [CSV], max_file_size: 100MB}
service_agreement:
  max_throughput: 100MB/s
  max_concurrent_ingestions: 4
  storage_space_staging: 1GB
  max_memory: 1GB
contacts: [ops@hangs.example]
"""
REGISTRATION = """
batch:
  rows: {callable: "hangs:ingest", collection: rows}
"""
HANGS_AT_THIRD_BLOCK = """
import os, time
def ingest(table):
    with open("MARKER", "a") as marker:
        marker.write("x")
    if os.path.getsize("MARKER") == 3:
        time.sleep(600)
    return table
"""


def wait_for(condition, what, seconds=SETTLE_SECONDS):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)
    return found


def reports(stack, tenant):
    done = stack.run("ingestions", "--tenant", tenant, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settled(stack, tenant, name, count=1):
    """Await the reports of a file."""

    def find():
        found = [
            report
            for report in reports(stack, tenant)
            if report["name"] == name and report["state"] in ("loaded", "rejected", "failed")
        ]
        return found if len(found) >= count else None

    return wait_for(find, f"{count} settled ingestion(s) of {name}")


@contextlib.contextmanager
def coredms(stack, tenant):
    """Connect as the tenant does: with what `mysimbdp coredms-url` prints."""
    url = stack.run("coredms-url", "--tenant", tenant).stdout.strip()
    with pymongo.MongoClient(url) as client:
        yield client


@contextlib.contextmanager
def airflow(stack, user, secret):
    """Log in to Airflow's API."""
    with httpx.Client(base_url=stack.settings.airflow_url, timeout=60) as client:
        login = {"username": user, "password": stack.secrets.read(secret)}
        token = client.post("/auth/token", json=login).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


@pytest.fixture(scope="module")
def demo(stack):
    """Bring all sample files through, once for all tests here."""
    stack.await_all_running()
    done = stack.run("demo")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_shows_every_sample_file_with_its_outcome_and_where_to_look(stack, demo):
    lines = demo.splitlines()
    for name, state in (
        ("trips.csv", "loaded"),
        (public.WEATHER, "loaded"),
        (public.CARS_ARRAY, "loaded"),
        (public.STATIONS, "loaded"),
        ("box.csv", "loaded"),
        ("too-large.csv", "rejected"),
        ("monday-2-again.csv", "rejected"),
        ("many-refunds.csv", "failed"),
    ):
        assert any(name in line and state in line for line in lines), (name, demo)
    assert stack.settings.airflow_url in demo
    assert str(stack.state / "mail") in demo


def test_every_sample_of_a_violation_ended_with_its_own_reason(stack, demo):
    known = {
        (report["tenant"], report["name"]): report
        for tenant in ("tenant1", "tenant2")
        for report in reports(stack, tenant)
    }
    seen = 0
    for sample in violations.SAMPLES:
        if sample.outcome is not violations.Outcome.REJECTED:
            continue
        matching = [
            report
            for (tenant, _), report in known.items()
            if tenant == sample.tenant
            and sample.code in [violation["code"] for violation in report["violations"]]
        ]
        assert matching, sample.name
        seen += 1
    assert seen >= 10


def test_documents_are_read_back_with_the_tenants_own_login(stack, demo):
    with coredms(stack, "tenant1") as client:
        trips = client["tenant1"]["taxi_trips"]
        trip = trips.find_one({"note": "NA"})
        assert trips.count_documents({}) >= 100_000
    assert isinstance(trip["trip_id"], int)
    assert len(str(trip["trip_id"])) == 19
    assert trip["vendor_id"].startswith("0")


def test_a_tenant_is_refused_in_another_tenants_database_and_in_the_platforms(stack, demo):
    with coredms(stack, "tenant2") as client:
        for database in ("tenant1", "mysimbdp", "admin"):
            with pytest.raises(OperationFailure, match="not authorized"):
                client[database]["taxi_trips"].find_one()
            with pytest.raises(OperationFailure, match="not authorized"):
                client[database]["taxi_trips"].insert_one({})


def test_rejected_files_are_told_in_mails_to_the_tenants_contact_only(stack, demo):
    mails = [
        email.message_from_bytes(path.read_bytes())
        for path in (stack.state / "mail" / "new").iterdir()
    ]
    to_tenant1 = [mail for mail in mails if mail["To"] == "ops@tenant1.example"]
    assert to_tenant1
    text = "".join(mail.get_payload() for mail in to_tenant1)
    assert text.count("empty.csv (rejected)") == 1
    assert "many-refunds.csv" not in text


def test_a_second_demo_changes_nothing(stack, demo):
    before = len(reports(stack, "tenant1"))

    done = stack.run("demo")

    assert done.returncode == 0, done.stderr
    assert len(reports(stack, "tenant1")) == before


def test_a_backfill_ingests_the_archive_of_a_day_again_without_duplicates(stack, demo):
    today = datetime.now(UTC).date().isoformat()
    with coredms(stack, "tenant2") as client:
        before = client["tenant2"]["cars"].count_documents({})

        done = stack.run(
            "airflow", "backfill", "create", "--dag-id", "tenant2.cars",
            "--from-date", today, "--to-date", today, "--reprocess-behavior", "completed",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        again = settled(stack, "tenant2", public.CARS_ARRAY, count=2)[-1]

        assert again["reingested"]
        assert again["state"] == "loaded"
        assert client["tenant2"]["cars"].count_documents({}) == before


def test_a_run_from_the_trigger_form_takes_a_pattern_of_archived_files(stack, demo):
    with airflow(stack, "admin", "airflow/admin") as client:
        answer = client.post(
            "/api/v2/dags/tenant1.weather/dagRuns",
            json={"logical_date": None, "conf": {"files": f"loaded/*/{public.WEATHER}"}},
        )
    assert answer.status_code == 200, answer.text

    again = settled(stack, "tenant1", public.WEATHER, count=2)[-1]

    assert (again["state"], again["rows_stored"]) == ("loaded", 1461)
    with coredms(stack, "tenant1") as client:
        assert client["tenant1"]["weather"].count_documents({}) == 1461


def test_a_tenants_login_sees_and_starts_its_own_dags_only(stack, demo):
    with airflow(stack, "tenant2", "airflow/tenants/tenant2") as client:
        listed = client.get("/api/v2/dags").json()["dags"]
        assert {dag["dag_id"].split(".")[0] for dag in listed} == {"tenant2"}
        assert client.get("/api/v2/dags/tenant1.taxi").status_code == 403
        refused = client.post("/api/v2/dags/tenant1.taxi/dagRuns", json={"logical_date": None})
        assert refused.status_code == 403
        for private in ("connections", "pools", "variables"):
            assert client.get(f"/api/v2/{private}").status_code == 403


@pytest.fixture(scope="module")
def hanging(stack):
    """Commit a tenant whose code hangs at the third block, until it is killed."""
    folder = stack.tree / "tenant_pipelines" / "hangs"
    folder.mkdir()
    code = HANGS_AT_THIRD_BLOCK.replace("MARKER", str(stack.state / "marker"))
    (folder / "hangs.py").write_text(code)
    (folder / "pipelines.yaml").write_text(REGISTRATION)
    (stack.tree / "constraints" / "hangs.yaml").write_text(AGREEMENT)
    inbox = stack.settings.staging / "hangs" / "rows"
    wait_for(inbox.is_dir, "the inbox of a new tenant", 60)
    wait_for(lambda: stack.run("coredms-url", "--tenant", "hangs").returncode == 0, "its login", 60)
    return stack


def hang(stack, name, seed):
    """Stage a file and await the moment at which its child hangs in the middle."""
    path = stack.tree / name
    path.write_text("n,text\n" + "".join(f"{n},{seed}{'x' * 400}\n" for n in range(ROWS)))
    marker = Path(stack.state / "marker")
    marker.unlink(missing_ok=True)
    done = stack.run("stage", "hangs", "rows", str(path))
    assert done.returncode == 0, done.stderr
    wait_for(lambda: marker.exists() and marker.stat().st_size >= 3, "the third block")
    with coredms(stack, "hangs") as client:
        wait_for(lambda: client["hangs"]["rows"].count_documents({"text": {"$regex": f"^{seed}"}}),
                 "the first rows")  # fmt: skip
    (child,) = (
        process
        for process in psutil.process_iter()
        if any(f'"{stack.tree}/tenant_pipelines/hangs"' in part for part in cmdline(process))
    )
    return child


def has_ended(process):
    """Count a zombie as ended: whoever adopted it just did not look yet."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def cmdline(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def assert_every_row_once(stack, name, seed):
    (report,) = settled(stack, "hangs", name)
    assert (report["state"], report["rows_stored"], report["rows_rejected"]) == ("loaded", ROWS, 0)
    assert report["attempt"] == 2
    assert report["rows_replayed"] > 0
    with coredms(stack, "hangs") as client:
        rows = client["hangs"]["rows"].find({"text": {"$regex": f"^{seed}"}}, {"n": True})
        assert sorted(row["n"] for row in rows) == list(range(ROWS))


def test_a_child_killed_in_the_middle_leaves_every_row_once(hanging):
    child = hang(hanging, "child.csv", "a")

    child.kill()

    assert_every_row_once(hanging, "child.csv", "a")


def test_an_airflow_worker_killed_in_the_middle_leaves_every_row_once_and_no_process(hanging):
    child = hang(hanging, "worker.csv", "b")
    task = child.parent()
    worker = task.parent()

    worker.kill()

    wait_for(lambda: has_ended(child) and has_ended(task), "the orphans' end", 10)
    assert_every_row_once(hanging, "worker.csv", "b")


def test_the_taxi_file_of_the_samples_keeps_its_missing_values_missing(stack, demo):
    with coredms(stack, "tenant1") as client:
        trips = client["tenant1"]["taxi_trips"]
        assert trips.count_documents({"tip_amount": {"$exists": False}}) > 0
        assert trips.count_documents({"tip_amount": None, "trip_id": {"$type": "null"}}) == 0
        assert set(taxi.COLUMNS) >= set(trips.find_one({"note": "NA"})) - {
            "_id", "duration_minutes", "fare_per_mile",
        }  # fmt: skip
