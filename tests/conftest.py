"""What every tier shares: no sockets in unit tests; a real mongod and a real Kafka a session."""

import secrets as generator
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pymongo
import pytest
import pytest_socket
from confluent_kafka import admin as kafka_admin

from mysimbdp import coredms, messaging, naming
from mysimbdp.local_stack import kafka as kafka_program
from mysimbdp.local_stack import kafka_jars, kafka_probe, replica_set
from mysimbdp.local_stack import mongod as mongod_program
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

ROOT = Path(__file__).parent.parent
TIERS = ("unit", "docs", "dags", "integration", "acceptance")
MARKERS = {"integration": "mongo", "acceptance": "stack"}
TOLD_TO_END = 128 + signal.SIGTERM
KAFKA_READY_SECONDS = 60
#: What a tenant may do below its prefix.
TENANT_RIGHTS = {
    kafka_admin.ResourceType.TOPIC: ("READ", "WRITE", "DESCRIBE"),
    kafka_admin.ResourceType.GROUP: ("READ", "DESCRIBE"),
    kafka_admin.ResourceType.TRANSACTIONAL_ID: ("WRITE", "DESCRIBE"),
}


def pytest_sessionstart():
    # Else a session that is told to end, by `timeout` or a CI, leaves its servers running.
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to end", TOLD_TO_END))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Mark each test by its tier, the folder below tests/, and put the tiers in order.

    Within a tier the order stays random. The whole stack comes last: it keeps half a processor busy
    also while nobody asks it for anything.
    """
    items.sort(key=lambda item: TIERS.index(tier(item)))
    for item in items:
        if marker := MARKERS.get(tier(item)):
            item.add_marker(marker)


def pytest_runtest_setup(item):
    if tier(item) == "unit":
        pytest_socket.disable_socket(allow_unix_socket=True)
    else:
        pytest_socket.enable_socket()


def tier(item):
    return item.path.relative_to(ROOT / "tests").parts[0]


def find_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Mongod:
    """A real mongod of this test session, set up as the embedded stack sets up its own."""

    def __init__(self, binary, state):
        self.settings = Settings(
            home=ROOT,
            state=state,
            mongo_url=None,
            mongo_port=find_free_port(),
            airflow_port=1,
            smtp_port=1,
            airflow_url="http://127.0.0.1:1",
        )
        self.secrets = SecretStore(self.settings.secrets)
        self.binary = binary
        self.start()

    @property
    def port(self):
        return self.settings.mongo_port

    def url(self, user="registrar"):
        """Return the URL of `registrar`, `platform`, or of a tenant whose secret exists."""
        if user == coredms.REGISTRAR:
            return coredms.registrar_url(self.settings, self.secrets)
        if user == coredms.PLATFORM:
            return coredms.platform_url(self.settings, self.secrets)
        return coredms.coredms_url(self.settings, self.secrets, user)

    def add_tenant(self, tenant):
        """Make a tenant's login as the registrar does; return its URL."""
        password = self.secrets.ensure(f"mongo/tenants/{tenant}")
        with pymongo.MongoClient(self.url()) as client:
            client[naming.database(tenant)].command(
                "createUser", naming.login(tenant), pwd=password, roles=["readWrite"]
            )
        return self.url(tenant)

    def start(self):
        arguments = mongod_program.command(self.binary, self.settings, self.secrets)
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        replica_set.make_ready(self.settings, self.secrets)

    def kill(self):
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        """End it in order, if it still runs, and start it again on the same port and data."""
        self.stop()
        self.start()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Kafka:
    """A real Kafka of this test session, started as the embedded stack starts its own."""

    def __init__(self, state):
        self.settings = Settings(
            home=ROOT,
            state=state,
            mongo_url=None,
            mongo_port=1,
            kafka_port=find_free_port(),
            kafka_controller_port=find_free_port(),
            airflow_port=1,
            smtp_port=1,
            airflow_url="http://127.0.0.1:1",
        )
        self.secrets = SecretStore(self.settings.secrets)
        self.start()

    def registrar_login(self):
        """Return the client properties of the administrator."""
        return messaging.registrar_login(self.settings, self.secrets)

    def add_tenant(self, tenant):
        """Make a tenant's login and rights as the registrar does; return its client properties."""
        password = self.secrets.ensure(f"kafka/tenants/{tenant}")
        client = kafka_admin.AdminClient(self.registrar_login())
        kind = kafka_admin.ScramCredentialInfo(kafka_admin.ScramMechanism.SCRAM_SHA_512, 4096)
        user = kafka_admin.UserScramCredentialUpsertion(
            naming.login(tenant), kind, password.encode()
        )
        rights = [
            kafka_admin.AclBinding(
                resource,
                naming.kafka_prefix(tenant),
                kafka_admin.ResourcePatternType.PREFIXED,
                f"User:{naming.login(tenant)}",
                "*",
                kafka_admin.AclOperation[right],
                kafka_admin.AclPermissionType.ALLOW,
            )
            for resource, rights in TENANT_RIGHTS.items()
            for right in rights
        ]
        for answers in (client.alter_user_scram_credentials([user]), client.create_acls(rights)):
            for answer in answers.values():
                answer.result()
        login = messaging.tenant_login(self.settings, self.secrets, tenant)
        self.await_answer(login)
        return login

    def start(self):
        kafka_program.prepare(self.settings, self.secrets)
        arguments = kafka_program.command(self.settings)
        with (self.settings.state / "kafka.log").open("ab") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log)
        try:
            self.await_answer(self.registrar_login())
        except BaseException:
            self.kill()
            raise

    def await_answer(self, login):
        deadline = time.monotonic() + KAFKA_READY_SECONDS
        while not kafka_probe.answers(login):
            assert self.process.poll() is None, (self.settings.state / "kafka.log").read_text()
            assert time.monotonic() < deadline, "Kafka does not answer"

    def kill(self):
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def restart(self):
        """End it in order, if it still runs, and start it again on the same port and data."""
        self.stop()
        self.start()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="session")
def free_port():
    """Give a function that finds a port nobody listens on."""
    return find_free_port


@pytest.fixture(scope="session")
def mongod(tmp_path_factory):
    binary = mongod_program.find_binary()
    mongod_program.version(binary)
    pytest_socket.enable_socket()
    state = tmp_path_factory.mktemp("mongod")
    server = Mongod(binary, state)
    yield server
    server.kill()
    shutil.rmtree(state)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory):
    pytest_socket.enable_socket()
    kafka_jars.fetch()
    state = tmp_path_factory.mktemp("kafka")
    server = Kafka(state)
    yield server
    server.kill()
    shutil.rmtree(state)


@pytest.fixture(scope="session")
def mongo_url(mongod):
    """Give the administrator's URL."""
    return mongod.url()


@pytest.fixture(scope="session")
def mongo_client(mongod):
    """Give a client with the administrator's login and aware datetimes."""
    with pymongo.MongoClient(mongod.url(), tz_aware=True) as client:
        yield client


@pytest.fixture
def platform_database(mongo_client):
    """Give the platform's own database, empty again after the test."""
    yield mongo_client[naming.PLATFORM_DATABASE]
    mongo_client.drop_database(naming.PLATFORM_DATABASE)


@pytest.fixture
def tenant_name(request):
    """Give a function that makes up a tenant's name; its database is dropped after the test."""
    names = []

    def make():
        names.append(f"t{generator.token_hex(4)}")
        return names[-1]

    yield make
    if "mongod" in request.fixturenames:
        with pymongo.MongoClient(request.getfixturevalue("mongod").url()) as client:
            for name in names:
                client[naming.database(name)].command("dropAllUsersFromDatabase")
                client.drop_database(naming.database(name))
