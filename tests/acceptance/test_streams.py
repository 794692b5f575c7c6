"""Streams on the whole stack: from a command to documents, over kills, by the right people only."""

import json
import mailbox
import shutil
import signal
import subprocess
import time

import httpx
import psutil
import pymongo
import pytest
from confluent_kafka import KafkaException, Producer

from mysimbdp import coredms, messaging, naming

TENANT, APP = "tenant2", "taxi"
#: What the issue promises after a kill of the triggerer.
PROMISED_SECONDS = 60
MODULE = "mysimbdp.streaming.instance"


def await_truth(condition, seconds=PROMISED_SECONDS, look_seconds=0.5):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(look_seconds)
    return value


@pytest.fixture(scope="module")
def live(stack):
    """Wait until Airflow has seen the stream apps."""
    stack.await_all_running()

    def has_all():
        with httpx.Client(base_url=stack.settings.airflow_url, timeout=60) as client:
            login = {"username": "admin", "password": stack.secrets.read("airflow/admin")}
            token = client.post("/auth/token", json=login).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            answers = [
                client.get(f"/api/v2/dags/{naming.stream_dag_id(*one)}")
                for one in (("tenant1", "weather"), ("tenant1", "weather-slow"), (TENANT, APP))
            ]
        return all(answer.status_code == httpx.codes.OK for answer in answers)

    await_truth(has_all, seconds=180)
    return stack


def succeed(stack, *arguments, **environment):
    done = stack.run(*arguments, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def standing(stack, tenant=TENANT, app=APP):
    listed = json.loads(stack.run("streams", "list", "--tenant", tenant, "--json").stdout)
    return next(one for one in listed if one["app"] == app)


def instances(stack):
    """Find the instances' processes of this stack and what they started."""
    found = []
    for process in psutil.process_iter():
        try:
            is_one = MODULE in process.cmdline() and any(
                str(stack.state) in value for value in process.environ().values()
            )
        except (psutil.Error, OSError):
            continue
        if is_one:
            found += [process, *process.children(recursive=True)]
    return found


@pytest.fixture
def database(stack):
    url = coredms.coredms_url(stack.settings, stack.secrets, TENANT)
    with pymongo.MongoClient(url) as client:
        yield client[TENANT]


@pytest.fixture
def running(live):
    """Start the app; stop it after the test."""
    succeed(live, "streams", "start", TENANT, APP, "--instances", "2")
    yield live
    succeed(live, "streams", "stop", TENANT, APP)


def test_messages_become_documents_and_the_state_is_told(running, database):
    before = database.taxi_streamed.count_documents({})

    succeed(running, "simulate", TENANT, APP, "--delay", "0", "--count", "2000", "--bad", "5")

    await_truth(
        lambda: (
            database.taxi_streamed.count_documents({})
            - before
            + database.rejects.count_documents({"app": APP})
            >= 2_000
        )
    )
    assert database.taxi_streamed.count_documents({}) - before == 1_900
    trip = database.taxi_streamed.find_one()
    assert set(trip["location"]) == {"pickup", "dropoff"}
    reject = database.rejects.find_one({"app": APP})
    assert {"topic", "partition", "offset", "reason"} <= set(reject)
    now = await_truth(lambda: one if (one := standing(running))["lag"] == 0 else None)
    assert now["desired"] == now["actual"] == "running"
    assert len(now["instances"]) == 2
    assert {one["pid"] for one in now["instances"]} <= {one.pid for one in instances(running)}


def test_a_killed_triggerer_leaves_no_consumer_and_the_stream_goes_on(running, database):
    before = database.taxi_streamed.count_documents({})
    rejects = database.rejects.count_documents({"app": APP})
    sender = subprocess.Popen(
        [running.command, "simulate", TENANT, APP, "--delay", "0.01", "--count", "4000"],
        cwd=running.tree,
        env=running.environment,
        stdout=subprocess.DEVNULL,
    )
    await_truth(lambda: database.taxi_streamed.count_documents({}) > before + 100)
    orphans = instances(running)
    triggerer = psutil.Process(running.parts()["triggerer"]["pid"])

    triggerer.send_signal(signal.SIGKILL)

    _, alive = psutil.wait_procs(orphans, timeout=10)
    assert alive == []
    at_kill = database.taxi_streamed.count_documents({})
    await_truth(lambda: database.taxi_streamed.count_documents({}) > at_kill)
    assert sender.wait(120) == 0

    def stored():
        return (
            database.taxi_streamed.count_documents({})
            - before
            + database.rejects.count_documents({"app": APP})
            - rejects
        )

    await_truth(lambda: stored() >= 4_000, seconds=90)
    assert stored() == 4_000


def test_a_paused_app_can_still_be_stopped(live):
    succeed(live, "streams", "start", TENANT, APP)
    dag_id = naming.stream_dag_id(TENANT, APP)
    succeed(live, "airflow", "dags", "pause", dag_id, "--yes")
    try:
        sentence = succeed(live, "streams", "stop", TENANT, APP)
        assert standing(live)["actual"] == "stopped"
        assert "drained" in sentence
        await_truth(lambda: not instances(live), seconds=20)
    finally:
        succeed(live, "airflow", "dags", "unpause", dag_id, "--yes")


def test_a_tenants_login_starts_and_stops_only_its_own_apps(live):
    as_tenant = {
        "AIRFLOW_USERNAME": TENANT,
        "AIRFLOW_PASSWORD": live.secrets.read(f"airflow/tenants/{TENANT}"),
        "AIRFLOW_URL": live.settings.airflow_url,
    }

    succeed(live, "streams", "start", TENANT, APP, **as_tenant)
    await_truth(lambda: standing(live)["actual"] == "running")
    refused = live.run("streams", "start", "tenant1", "weather", **as_tenant)
    succeed(live, "streams", "stop", TENANT, APP, **as_tenant)

    assert refused.returncode == 1
    assert "may not" in refused.stderr or "not for tenant2" in refused.stderr
    assert standing(live, "tenant1", "weather")["actual"] == "stopped"
    assert standing(live)["actual"] == "stopped"


AGREEMENT = """
data_constraints: {file_types: [CSV], max_file_size: 1MB}
service_agreement:
  max_throughput: 1MB/s
  max_concurrent_ingestions: 1
  storage_space_staging: 10MB
  max_memory: 1GB
streams: {max_publish_rate: 1MB/s, max_consume_rate: 1MB/s}
contacts: [ops@guest.example]
"""
REGISTRATION = """
topics: {events: {}}
streams:
  echo: {topics: [events], callable: "echo:ingest", collections: {rows: {}}}
"""


def test_a_withdrawn_tenants_stream_ends_and_its_login_is_refused(live):
    agreement = live.tree / "constraints" / "guest.yaml"
    folder = live.tree / "tenant_pipelines" / "guest"
    folder.mkdir()
    (folder / "echo.py").write_text("def ingest(messages): return {'rows': messages}\n")
    (folder / "pipelines.yaml").write_text(REGISTRATION)
    agreement.write_text(AGREEMENT)
    await_truth(lambda: live.run("streams", "start", "guest", "echo").returncode == 0, 120, 3)
    login = messaging.tenant_login(live.settings, live.secrets, "guest")
    producer = Producer({**login, "log_level": 0})
    producer.produce("guest.events", b'{"n": 1}')
    assert producer.flush(30) == 0

    agreement.unlink()

    await_truth(lambda: standing(live, "guest", "echo")["actual"] in {"stopped", "failed"})
    await_truth(lambda: not instances(live), seconds=30)
    await_truth(lambda: not (live.settings.secrets / "kafka" / "tenants" / "guest").exists())
    with pytest.raises(KafkaException):
        Producer({**login, "log_level": 0}).list_topics(timeout=5)
    shutil.rmtree(folder)
    succeed(live, "tenant", "remove", "guest", "--purge", "--yes")


def test_a_missed_objective_is_told_acted_on_and_told_again_when_it_is_met(live):
    done = live.run("demo-alert")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "0.1 s: no alert" in done.stdout
    (alert,) = [
        one
        for one in json.loads(succeed(live, "alerts", "--tenant", "tenant1", "--json"))
        if one["name"] == "weather-slow"
    ]
    assert (alert["cause"], alert["ending"]) == ("max_average_ingestion_time", "recovered")
    assert alert["action"] == "scale"
    assert [mail["kind"] for mail in alert["mails"]] == ["opened", "closed"]
    assert all(mail["sent_at"] for mail in alert["mails"])
    mails = [
        mail
        for mail in mailbox.Maildir(live.state / "mail")
        if "weather-slow" in mail["Subject"] + mail.as_string()
    ]
    assert {"ops@tenant1.example", live.settings.operator_email} <= {
        address.strip() for mail in mails for address in mail["To"].split(",")
    }
    assert len({mail["Subject"] for mail in mails}) >= 2
