"""A whole registrar in a place of its own."""

import attrs
import pymongo

from airflow_in_memory import AirflowInMemory
from mysimbdp import registry
from mysimbdp.agreements.model import FileType
from mysimbdp.registrar import kafka_topics, mongo, skeleton
from mysimbdp.registrar.kafka import Kafka
from mysimbdp.registrar.reconcile import Registrar
from mysimbdp.secrets import SecretStore

#: What follows it in a committed file is about streams.
STREAMS = "# streams\n"


class KafkaAside:
    """A Kafka that is always in order, for tests about something else."""

    def observe(self):
        pass

    def ensure_platform(self, *_):
        return []

    def ensure_tenant(self, *_):
        return kafka_topics.Outcome((), ())

    def find_leftovers(self, *_):
        return []

    def has_login(self, *_):
        return False

    def revoke(self, *_):
        return []

    def purge(self, *_):
        pass

    def close(self):
        pass


class World:
    """A tree and a state of their own, on the session's servers and an Airflow in memory."""

    def __init__(self, mongod, home, kafka=None):
        for folder in ("constraints", "tenant_pipelines"):
            (home / folder).mkdir()
        self.places = attrs.evolve(mongod.settings, home=home, state=home / "var")
        self.secrets = SecretStore(self.places.secrets)
        for name in ("mongo/registrar", "mongo/platform"):
            self.secrets.write(name, mongod.secrets.read(name))
        if kafka is not None:
            self.places = attrs.evolve(self.places, kafka_port=kafka.settings.kafka_port)
            self.secrets.write("kafka/registrar", kafka.secrets.read("kafka/registrar"))
        self.has_kafka = kafka is not None
        self.airflow = AirflowInMemory()
        self.clients = []

    def start(self):
        """Start a registrar, which knows nothing yet."""
        coredms = mongo.Coredms(self.places, self.secrets)
        kafka = Kafka(self.places, self.secrets) if self.has_kafka else KafkaAside()
        self.clients += [coredms, kafka]
        return Registrar(self.places, self.secrets, coredms, self.airflow, kafka)

    def agreement(self, tenant):
        return self.places.constraints / f"{tenant}.yaml"

    def commit(self, tenant, **values):
        skeleton.add(self.places.home, tenant, [FileType.CSV], f"ops@{tenant}.example")
        self.edit(tenant, **values)

    def edit(self, tenant, **values):
        lines = self.agreement(tenant).read_text().splitlines()
        for key, value in values.items():
            lines = [f"  {key}: {value}" if f" {key}:" in line else line for line in lines]
        self.agreement(tenant).write_text("\n".join(lines) + "\n")

    def agree_on_streams(self, tenant, *, topics=None, **limits):
        """Write streams into a tenant's agreement, anew if they are there, and an app for each."""
        limits = {"max_publish_rate": "50MB/s", "max_consume_rate": "50MB/s"} | limits
        lines = [f"  {key}: {value}" for key, value in limits.items()]
        self._append(self.agreement(tenant), ["streams:", *lines])
        lines = ["topics:"]
        topics = topics or {"weather": 1}
        lines += [f"  {name}: {{partitions: {count}}}" for name, count in topics.items()]
        lines += ["streams:"]
        for name in topics:
            lines += [f"  {name}-app: {{topics: [{name}], callable: 'example:ingest',"]
            lines += [f"    collections: {{{name}: {{}}}}}}"]
        self._append(self._registration(tenant), lines)

    def end_streams(self, tenant):
        """Take the streams out of a tenant's agreement and registration."""
        self._append(self.agreement(tenant), [])
        self._append(self._registration(tenant), [])

    def _registration(self, tenant):
        return self.places.tenant_pipelines / tenant / "pipelines.yaml"

    def _append(self, path, lines):
        kept, _, _ = path.read_text().partition(STREAMS)
        path.write_text("\n".join([kept + STREAMS, *lines]) + "\n")

    def connect(self, tenant):
        """Log in as a tenant, with the password that the registrar keeps."""
        client = pymongo.MongoClient(
            "127.0.0.1",
            self.places.mongo_port,
            username=tenant,
            password=self.secrets.read(f"mongo/tenants/{tenant}"),
            authSource=tenant,
            directConnection=True,
        )
        self.clients.append(client)
        return client

    def published(self):
        return registry.read(self.places.registry)
