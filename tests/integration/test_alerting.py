"""From reports on a real broker to mails on a real mail server, by way of a real mongod."""

import contextlib
import datetime as dt
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import attrs
import pymongo
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mysimbdp import errors, messaging, naming, registry
from mysimbdp.agreements.model import Agreement
from mysimbdp.pipelines.registration import Registration
from mysimbdp.registrar import kafka_logins, kafka_rights
from mysimbdp.reporting.alert_post import post
from mysimbdp.reporting.alerts import AlertStore
from mysimbdp.reporting.email import Mailer
from mysimbdp.streaming import actions, metrics_reader, schema
from mysimbdp.streaming.monitor import Monitor
from mysimbdp.streaming.store import StreamStore

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OPERATOR = "operator@platform.example"
CONTACT = "ops@tenant.example"
PATIENCE_SECONDS = 40
AGREEMENT = {
    "data_constraints": {"file_types": ["CSV"], "max_file_size": "1MB"},
    "service_agreement": {
        "max_throughput": "1MB/s",
        "max_concurrent_ingestions": 1,
        "storage_space_staging": "10MB",
        "max_memory": "1GB",
    },
    "streams": {"max_publish_rate": "1MB/s", "max_consume_rate": "1MB/s", "max_instances": 3},
    "contacts": [CONTACT],
}
REGISTRATION = {
    "topics": {"sensors": {}},
    "streams": {
        "weather": {"callable": "a:b", "topics": ["sensors"], "collections": {"readings": {}}}
    },
}


class Clock:
    """The time as the test has it."""

    now = NOON

    def __call__(self):
        return self.now

    def set(self, seconds):
        self.now = NOON + timedelta(seconds=seconds)


class Mailbox(Message):
    """Keep what arrives."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def handle_message(self, message):
        self.messages.append(message)

    @property
    def subjects(self):
        return [message["Subject"].partition(": ")[2] for message in self.messages]


@contextlib.contextmanager
def serving(port, **options):
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


def result(futures):
    for future in futures.values():
        future.result()


@pytest.fixture(scope="module")
def platform_login(kafka):
    """Give the login of the platform, with the rights that the registrar gives it."""
    password = kafka.secrets.ensure("kafka/platform")
    admin = AdminClient(kafka.registrar_login())
    kafka_logins.ensure(admin, kafka_logins.read(admin), messaging.PLATFORM, password)
    with contextlib.suppress(KafkaException):
        result(admin.create_topics([NewTopic(naming.METRICS_TOPIC, 2, 1)]))
    grant(admin, [])
    login = messaging.platform_login(kafka.settings, kafka.secrets)
    kafka.await_answer(login)
    return login


def grant(admin, tenants):
    seen = kafka_rights.read(admin)
    rights = kafka_rights.of_platform(tenants) | {
        right for right in seen if right.principal == f"User:{messaging.PLATFORM}"
    }
    kafka_rights.ensure(admin, seen, messaging.PLATFORM, frozenset(rights))


@attrs.define
class World:
    """One tenant with one stream app, and what alerting needs."""

    tenant: str
    monitor: Monitor
    alerts: AlertStore
    streams: StreamStore
    clock: Clock
    mailer: Mailer
    logs: object
    producer: Producer
    own: Producer
    agreement: Agreement

    def report(self, end, topic=naming.METRICS_TOPIC, producer=None, tenant=None, **figures):
        """Publish the report of a window of ten seconds that ends so many seconds after noon."""
        (example,) = schema.metrics_schema()["examples"]
        start = NOON + timedelta(seconds=end - 10)
        content = {
            **example,
            "metrics": {**example["metrics"], "average_ingestion_time": figures.get("took", 0.1)},
            "timeframe": {
                **example["timeframe"],
                "measurement_start_time": start.isoformat(),
                "measurement_end_time": (start + timedelta(seconds=10)).isoformat(),
            },
            "origin": {"streaming_app_id": "weather", "tenant_id": tenant or self.tenant},
            "window": {**example["window"], "lag": figures.get("lag", 0)},
        }
        self.send(topic, json.dumps(content).encode(), producer or self.producer)

    def send(self, topic, value, producer):
        producer.produce(topic, key=self.tenant, value=value)
        assert producer.flush(PATIENCE_SECONDS) == 0

    def watch(self, until=lambda: False):
        """Watch until something is due, True, or until the condition holds, False."""
        deadline = time.monotonic() + PATIENCE_SECONDS

        def is_over():
            assert time.monotonic() < deadline, "nothing became due"
            return until()

        return self.monitor.watch(is_over)

    def watch_until_heard(self, end, source="platform"):
        """Watch until the report of a window is taken in, which makes nothing due."""
        assert not self.watch(lambda: self.has_heard(end, source))

    def has_heard(self, end, source="platform"):
        account = self.account()
        report = account and account["reports"].get(f"{source}-0")
        ended_at = NOON + timedelta(seconds=end)
        return bool(report) and report["timeframe"]["measurement_end_time"] >= ended_at

    def account(self):
        collection = self.monitor.platform.get_collection("stream_windows")
        return collection.with_options(self.alerts.alerts.codec_options).find_one(
            {"tenant": self.tenant}
        )

    def turn(self):
        """Do what a run of the DAG does once its watch has found something."""
        assert self.watch()
        done = actions.act(self.alerts, self.streams, lambda _: self.agreement, self.clock())
        return done, post(self.alerts, self.mailer, OPERATOR, self.clock())

    def documents(self):
        return self.alerts.find(self.tenant)


@pytest.fixture
def mailer(free_port):
    return Mailer(host="127.0.0.1", port=free_port(), sender="platform@example.org")


@pytest.fixture
def world(kafka, platform_login, platform_database, tenant_name, tmp_path, mailer):  # noqa: PLR0917
    """Give a function that sets up a tenant with these objectives."""
    admin = AdminClient(kafka.registrar_login())

    def make(**agreed):
        tenant = tenant_name()
        agreement = Agreement.model_validate(AGREEMENT | {"objectives": agreed})
        publish(tmp_path, tenant, agreement)
        result(admin.create_topics([NewTopic(naming.topic(tenant, naming.OWN_REPORTS), 1, 1)]))
        grant(admin, [tenant])
        clock = Clock()
        streams = StreamStore(platform_database)
        streams.want(tenant, "weather", by="test", state="running")
        streams.apps.update_one({"tenant": tenant}, {"$set": {"wish.at": NOON}})
        return World(
            tenant=tenant,
            monitor=Monitor(
                registry=tmp_path / "registry.json",
                logs=tmp_path / "logs",
                platform=platform_database,
                kafka=lambda: platform_login,
                clock=clock,
            ),
            alerts=AlertStore(platform_database),
            streams=streams,
            clock=clock,
            mailer=mailer,
            logs=tmp_path / "logs",
            producer=Producer(platform_login),
            own=Producer(kafka.add_tenant(tenant)),
            agreement=agreement,
        )

    return make


def publish(folder, tenant, agreement):
    registered = registry.RegisteredTenant(
        tenant=tenant,
        agreement=agreement,
        registration=Registration.model_validate(REGISTRATION),
    )
    registry.publish(folder / "registry.json", [registered])


def test_a_breach_is_acted_on_told_to_both_and_its_end_is_told_too(world):
    its = world(max_lag=100, on_breach="scale")
    with serving(its.mailer.port) as mailbox:
        its.report(10, lag=500)
        done, posted = its.turn()
        assert posted.sent == 1
        assert "It started one more instance: 2 of at most 3" in done.texts[0]
        (message,) = mailbox.messages
        assert message["To"] == f"{CONTACT}, {OPERATOR}"
        assert "found:     500 messages" in message.get_payload(decode=True).decode()
        assert its.streams.wish(its.tenant, "weather").instances == 2
        assert its.streams.read(its.tenant, "weather")["breaches"][0]["cause"] == "max_lag"
        its.report(20, lag=500)
        its.report(30)
        its.watch_until_heard(30)
        assert its.documents()[0]["state"] == "open"
        its.report(40)
        its.turn()
        assert mailbox.subjects == ["max_lag missed", "max_lag: recovered"]
    (document,) = its.documents()
    assert (document["state"], document["action"]) == ("closed", "scale")
    assert document["closed_at"] == NOON + timedelta(seconds=40)
    assert document["action_taken_at"] == NOON
    assert its.streams.read(its.tenant, "weather")["breaches"] == []
    log = (its.logs / "tenants" / f"{its.tenant}.log").read_text()
    assert "max_lag missed: expected at most 100 messages waiting, found 500 messages" in log


KILLED = """
import json, sys, time
from pathlib import Path
import pymongo
from mysimbdp.reporting import alerts
from mysimbdp.streaming import metrics_reader, windows
from mysimbdp.streaming.monitor import Monitor

given = json.load(sys.stdin)

def hang(*_):
    print("here", flush=True)
    time.sleep(600)

owner, name = given["point"]
owners = {
    "alerts": alerts.AlertStore,
    "reader": metrics_reader.MetricsReader,
    "store": windows.WindowStore,
}
setattr(owners[owner], name, hang)
client = pymongo.MongoClient(given["mongo"], tz_aware=True)
Monitor(
    registry=Path(given["registry"]),
    logs=Path(given["logs"]),
    platform=client["mysimbdp"],
    kafka=lambda: given["kafka"],
).watch(lambda: False)
"""


@pytest.mark.parametrize("point", [("alerts", "open"), ("store", "save"), ("reader", "commit")])
def test_alerting_killed_before_it_commits_loses_nothing_and_tells_once(
    world, mongod, platform_login, tmp_path, point
):
    its = world(max_lag=100)
    its.report(10, lag=500)
    given = {
        "point": point,
        "mongo": mongod.url(),
        "registry": str(tmp_path / "registry.json"),
        "logs": str(its.logs),
        "kafka": platform_login,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        assert process.stdout.readline() == "here\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    its.report(20, lag=700)
    with serving(its.mailer.port) as mailbox:
        its.turn()
        its.watch_until_heard(20)
        assert mailbox.subjects == ["max_lag missed"]
    (document,) = its.documents()
    assert document["opened_at"] == NOON + timedelta(seconds=10)
    assert its.account()["breaches"]["max_lag"]["found"] == "700 messages"


def test_what_was_read_again_opens_no_second_alert_even_after_it_was_closed(
    world, kafka, platform_login
):
    its = world(max_lag=100)
    for end, lag in ((10, 500), (20, 0), (30, 0), (40, 0)):
        its.report(end, lag=lag)
    with serving(its.mailer.port) as mailbox:
        its.turn()
        its.watch_until_heard(40)
        rewind(platform_login)
        its.monitor.platform["stream_windows"].delete_many({})
        its.watch_until_heard(40)
        assert len(mailbox.messages) == len(its.documents()) == 1


def rewind(login):
    """Let the group read all of `metrics` again."""
    consumer = Consumer({**login, "group.id": metrics_reader.GROUP})
    partitions = consumer.list_topics(naming.METRICS_TOPIC).topics[naming.METRICS_TOPIC].partitions
    places = [TopicPartition(naming.METRICS_TOPIC, number, 0) for number in partitions]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()


@pytest.mark.parametrize(("beat", "starts", "restarts"), [(0, 1, 0), (40, 0, 1)])
def test_a_silent_app_is_restarted_or_started_if_nobody_supervises_it(
    world, beat, starts, restarts
):
    its = world(max_silence="30s", on_breach="restart")
    seen = {"state": "running", "beat_at": NOON + timedelta(seconds=beat)}
    its.streams.apps.update_one({"tenant": its.tenant}, {"$set": seen})
    with serving(its.mailer.port) as mailbox:
        its.report(10)
        its.watch_until_heard(10)
        its.clock.set(41)
        done, _ = its.turn()
        assert done.starts == ((its.tenant, "weather"),) * starts
        assert its.streams.wish(its.tenant, "weather").restarts == restarts
        its.report(60)
        its.report(70)
        its.turn()
        assert mailbox.subjects == ["max_silence missed", "max_silence: recovered"]


def test_an_app_that_failed_is_told_with_its_cause_and_started_again(world):
    its = world(on_breach="restart")
    its.streams.apps.update_one(
        {"tenant": its.tenant},
        {
            "$set": {
                "state": "failed",
                "cause": "topic_missing",
                "error": "There is no topic sensors.",
                "beat_at": datetime.now(UTC),
            }
        },
    )
    its.streams.want(its.tenant, "weather", by="platform", state="stopped")
    with serving(its.mailer.port) as mailbox:
        done, _ = its.turn()
        assert done.starts == ((its.tenant, "weather"),)
        assert mailbox.subjects == ["failed"]
        text = mailbox.messages[0].get_payload(decode=True).decode()
        assert "topic_missing: There is no topic sensors." in text


def test_a_stopped_app_closes_its_breach_and_the_mail_says_so(world):
    its = world(max_lag=100)
    with serving(its.mailer.port) as mailbox:
        its.report(10, lag=500)
        its.turn()
        its.streams.want(its.tenant, "weather", by="somebody", state="stopped")
        its.turn()
        assert mailbox.subjects == ["max_lag missed", "max_lag: stopped"]


def test_a_tenant_cannot_speak_for_another_and_finds_the_reason_in_its_log(world):
    its = world(max_lag=100)
    topic = naming.topic(its.tenant, naming.OWN_REPORTS)
    its.report(10, topic, its.own, tenant="tenant9", lag=999)
    its.send(topic, b"no report at all", its.own)
    its.report(20, topic, its.own)
    its.watch_until_heard(20, source="tenant")
    assert its.account()["reports"]["tenant-0"]["source"] == "tenant"
    reasons = [one["reason"] for one in its.monitor.platform["refused_reports"].find()]
    assert len(reasons) == 2
    assert f"speaks for another tenant: expected origin.tenant_id {its.tenant}" in reasons[0]
    log = (its.logs / "tenants" / f"{its.tenant}.log").read_text()
    assert "refused, the first one: The report" in log
    assert "tenant9" not in [one["tenant"] for one in its.monitor.platform["stream_windows"].find()]


def test_a_tenant_may_not_write_the_platforms_reports(world):
    its = world()
    refused = []
    its.own.produce(
        naming.METRICS_TOPIC, value=b"{}", on_delivery=lambda error, _: refused.append(error)
    )
    its.own.flush(PATIENCE_SECONDS)
    assert refused[0].name() == "TOPIC_AUTHORIZATION_FAILED"


def test_a_figure_that_swings_is_one_mail_in_a_quarter_of_an_hour(world):
    its = world(max_lag=100)
    with serving(its.mailer.port) as mailbox:
        its.report(10, lag=500)
        its.turn()
        for end in (20, 30):
            its.report(end)
        its.turn()
        assert len(mailbox.messages) == 2
        for start in (40, 70, 100):
            its.report(start, lag=500)
            its.report(start + 10)
            its.report(start + 20)
        its.clock.set(899)
        its.watch_until_heard(120)
        assert len(mailbox.messages) == 2
        its.clock.set(901)
        its.turn()
        assert mailbox.subjects[2] == "max_lag: recovered (3 times since 12:00 UTC)"
        assert not its.alerts.letters_due(its.clock())


def test_while_the_mail_server_is_down_alerting_goes_on_and_mails_follow(world):
    its = world(max_lag=100, max_average_ingestion_time="5s")
    its.report(10, lag=500)
    _, posted = its.turn()
    assert (posted.sent, posted.postponed) == (0, 1)
    assert "does not take mail now" in its.documents()[0]["mail_error"]
    its.report(20, lag=500, took=60)
    its.turn()
    assert [one["cause"] for one in its.documents()] == ["max_lag", "max_average_ingestion_time"]
    with serving(its.mailer.port) as mailbox:
        its.clock.set(600)
        its.turn()
        assert sorted(mailbox.subjects) == ["max_average_ingestion_time missed", "max_lag missed"]
    assert its.documents()[0]["mail_error"] is None


def test_while_mongodb_is_away_nothing_is_committed_and_the_next_watch_reads_it_again(
    world, mongod
):
    its = world(max_lag=100)
    its.report(10)
    its.watch_until_heard(10)
    with pymongo.MongoClient(mongod.url(), timeoutMS=1000, tz_aware=True) as client:
        impatient = attrs.evolve(its.monitor, platform=client[naming.PLATFORM_DATABASE])
        mongod.kill()
        try:
            its.report(20, lag=500)
            with pytest.raises(errors.TransientError):
                impatient.watch(lambda: False)
        finally:
            mongod.restart()
    assert its.watch()
    assert its.documents()[0]["found"] == "500 messages"


def test_a_watch_outlives_the_broker(world, kafka):
    its = world(max_lag=100)
    its.report(10)
    kafka_is_back = []

    def act():
        """Kill the broker in the middle of the watch, start it again, and report a breach."""
        if its.has_heard(10) and not kafka_is_back:
            kafka.kill()
            kafka.restart()
            kafka_is_back.append(True)
            its.report(20, lag=500)
        return False

    assert its.watch(act)
    assert its.documents()[0]["found"] == "500 messages"


def test_after_an_action_the_app_is_left_in_peace_for_five_minutes(world):
    its = world(max_lag=100, max_average_ingestion_time="5s", on_breach="scale")
    with serving(its.mailer.port):
        its.report(10, lag=500, took=60)
        its.turn()
        assert its.streams.wish(its.tenant, "weather").instances == 2
        its.clock.set(299)
        its.report(20, lag=500, took=60)
        its.watch_until_heard(20)
        assert its.streams.wish(its.tenant, "weather").instances == 2
        its.clock.set(301)
        its.turn()
        assert its.streams.wish(its.tenant, "weather").instances == 3
        its.clock.set(1000)
        its.turn()
        assert its.streams.wish(its.tenant, "weather").instances == 3


def test_a_decision_that_was_not_carried_out_is_carried_out_once(world, monkeypatch):
    its = world(max_lag=100, on_breach="scale")
    its.report(10, lag=500)
    assert its.watch()
    with monkeypatch.context() as broken:
        broken.setattr(AlertStore, "acted", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            actions.act(its.alerts, its.streams, lambda _: its.agreement, its.clock())
    actions.act(its.alerts, its.streams, lambda _: its.agreement, its.clock())
    assert its.streams.wish(its.tenant, "weather").instances == 2


def test_without_a_tenant_with_streams_no_broker_is_needed(world, tmp_path):
    its = world()
    agreement = its.agreement.model_copy(update={"streams": None})
    publish(tmp_path, its.tenant, agreement)
    its.monitor = attrs.evolve(its.monitor, kafka=lambda: pytest.fail("it asked for Kafka"))
    looks = iter(range(5))
    assert not its.watch(lambda: next(looks, None) is None)


def certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "mail.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_a_mail_server_with_starttls_and_login_gets_the_mails(world, tmp_path, monkeypatch):
    pem = certificate(tmp_path)
    monkeypatch.setitem(os.environ, "SSL_CERT_FILE", str(pem))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    logins = []

    def check(server, session, envelope, mechanism, login):
        logins.append((login.login, session.ssl is not None))
        return AuthResult(success=login.password == b"hush-hush")

    options = {
        "tls_context": context,
        "require_starttls": True,
        "authenticator": check,
        "auth_required": True,
    }
    its = world(max_lag=100)
    its.mailer = attrs.evolve(its.mailer, user="platform", password="hush-hush", starttls=True)
    its.report(10, lag=500)
    with serving(its.mailer.port, **options) as mailbox:
        _, posted = its.turn()
    assert posted.sent == 1
    assert logins == [(b"platform", True)]
    assert mailbox.subjects == ["max_lag missed"]
