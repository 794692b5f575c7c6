"""One broker, one mongod and one tenant on both, set up as the embedded stack and the registrar do.

Everything is on free ports and below one folder.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import psutil

from bench import server
from bench.stream import messages
from bench.stream.program import Program
from mysimbdp import coredms, messaging, naming, registry
from mysimbdp.local_stack import kafka, kafka_configuration, kafka_jars, kafka_probe
from mysimbdp.registrar.kafka import Kafka
from mysimbdp.registrar.mongo import Coredms
from mysimbdp.registry import RegisteredTenant
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

TENANT = "bench"
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_AGREEMENT = """\
data_constraints: {file_types: [JSON], max_file_size: 1MB}
service_agreement:
  max_throughput: 1MB/s
  max_concurrent_ingestions: 1
  storage_space_staging: 10MB
  max_memory: 1GB
streams: {max_publish_rate: 1000MB/s, max_consume_rate: 1000MB/s, max_instances: 2}
contacts: [bench@localhost]
"""
_CODE = "def ingest(messages):\n    return {{{collection!r}: messages}}\n"
#: Members that start together begin together, as by Kafka's own default of three seconds; the
#: embedded broker waits for none, and their first seconds would be spent on sharing.
_BROKER = "group.initial.rebalance.delay.ms=1000\n"


@attrs.frozen(kw_only=True)
class Job:
    """Bring so many messages of a topic into a collection; the name is that of app and group."""

    name: str
    topic: str
    messages: int

    @property
    def collection(self) -> str:
        """Name the collection, which is this job's own."""
        return self.name.replace("-", "_")


@attrs.frozen(kw_only=True)
class Place:
    """Where a run takes place.

    Attributes:
        folder: for logs and whatever else a way wants to keep.
        server_pids: of mongod and of the broker.

    """

    folder: Path
    settings: Settings
    secrets: SecretStore
    server_pids: dict[str, int]
    versions: dict[str, str]
    tenant: str = TENANT

    @property
    def login(self) -> dict[str, str]:
        """Give the tenant's client properties."""
        return messaging.tenant_login(self.settings, self.secrets, self.tenant)

    @property
    def metrics_login(self) -> dict[str, str]:
        """Give the platform's client properties."""
        return messaging.platform_login(self.settings, self.secrets)

    @property
    def mongo_url(self) -> str:
        """Give coredms with the tenant's login."""
        return coredms.coredms_url(self.settings, self.secrets, self.tenant)

    @property
    def platform_url(self) -> str:
        """Give coredms with the platform's login."""
        return coredms.platform_url(self.settings, self.secrets)

    @property
    def database(self) -> str:
        """Name the tenant's database."""
        return naming.database(self.tenant)

    def topic(self, name: str) -> str:
        """Name a topic as Kafka has it."""
        return naming.topic(self.tenant, name)

    def group(self, name: str) -> str:
        """Name a consumer group as Kafka has it."""
        return naming.consumer_group(self.tenant, name)

    def log(self, name: str) -> Path:
        """Name the log of a job."""
        return self.folder / f"{name}.log"


@contextlib.contextmanager
def opened(folder: Path, jobs: Sequence[Job]) -> Iterator[Place]:
    """Start both servers and set the tenant up with the topics and apps of all jobs."""
    state = folder / "state"
    with server.start(state) as mongo, contextlib.ExitStack() as exits:
        settings = attrs.evolve(
            mongo.settings,
            home=folder / "home",
            kafka_port=server.find_free_port(),
            kafka_controller_port=server.find_free_port(),
        )
        broker = _start_broker(settings, mongo.secrets, folder / "kafka.log")
        exits.callback(broker.stop)
        place = Place(
            folder=folder,
            settings=settings,
            secrets=mongo.secrets,
            server_pids={"mongod": _find_mongod(), "kafka": broker.pid},
            versions={"mongod": mongo.version, "java": kafka.java_version()},
        )
        registered = _register(settings.home, jobs)
        _reconcile(settings, mongo.secrets, registered)
        registry.publish(settings.registry, [registered])
        _await_answer(place.login, broker)
        yield place


def _start_broker(settings: Settings, secrets: SecretStore, log: Path) -> Program:
    kafka_jars.fetch()
    kafka.prepare(settings, secrets)
    with kafka_configuration.path(settings).open("a") as file:
        file.write(_BROKER)
    broker = Program(kafka.command(settings), log)
    try:
        _await_answer(messaging.registrar_login(settings, secrets), broker)
    except BaseException:
        broker.stop()
        raise
    return broker


def _await_answer(login: dict[str, str], broker: Program) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not kafka_probe.answers(login):
        broker.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"Kafka does not answer within {_READY_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)


def _find_mongod() -> int:
    children = psutil.Process().children()
    return next(child.pid for child in children if "mongod" in child.name())


def _register(home: Path, jobs: Sequence[Job]) -> RegisteredTenant:
    """Write the tenant's files, an app for each job and a callable that changes nothing."""
    code = home / "tenant_pipelines" / TENANT
    code.mkdir(parents=True)
    (home / "constraints").mkdir()
    (home / "constraints" / f"{TENANT}.yaml").write_text(_AGREEMENT)
    topics = {job.topic: {"partitions": messages.PARTITIONS} for job in jobs}
    streams = {}
    for job in jobs:
        module = job.collection
        (code / f"{module}.py").write_text(_CODE.format(collection=job.collection))
        streams[job.name] = {
            "topics": [job.topic],
            "callable": f"{module}:ingest",
            "batch": "records",
            "collections": {job.collection: {}},
        }
    # JSON is YAML.
    (code / "pipelines.yaml").write_text(json.dumps({"topics": topics, "streams": streams}))
    (registered,) = registry.load_tree(home)
    if registered.problems:
        raise ValueError(f"the registration is not valid: {registered.problems}")
    return registered


def _reconcile(settings: Settings, secrets: SecretStore, registered: RegisteredTenant) -> None:
    """Make logins, rights, quotas and topics with the registrar's own code."""
    agreement, registration = registered.agreement, registered.registration
    if agreement is None or agreement.streams is None or registration is None:
        raise ValueError("the tenant is not registered for streams")
    mongo, broker = Coredms(settings, secrets), Kafka(settings, secrets)
    try:
        mongo.observe()
        mongo.ensure_platform(secrets.ensure("mongo/platform"))
        mongo.ensure_tenant(TENANT, secrets.ensure(f"mongo/tenants/{naming.login(TENANT)}"))
        broker.observe()
        broker.ensure_platform(secrets.ensure(f"kafka/{messaging.PLATFORM}"), [TENANT])
        broker.ensure_tenant(
            TENANT,
            secrets.ensure(f"kafka/tenants/{naming.login(TENANT)}"),
            agreement.streams,
            registration.topics,
        )
    finally:
        mongo.close()
        broker.close()
