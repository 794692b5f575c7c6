"""What every tier shares: no sockets in unit tests, and one real mongod a session."""

import secrets as generator
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pymongo
import pytest
import pytest_socket

from mysimbdp import coredms, naming
from mysimbdp.local_stack import mongod as mongod_program
from mysimbdp.local_stack import replica_set
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

ROOT = Path(__file__).parent.parent
MARKERS = {"integration": "mongo", "acceptance": "stack"}


def pytest_collection_modifyitems(items):
    """Mark each test by its tier, the folder below tests/."""
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
