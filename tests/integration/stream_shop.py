"""A tenant with one stream app on a real broker and a real mongod, and its instances by hand."""

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager

import attrs
import pymongo
from bson.codec_options import CodecOptions
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from mysimbdp import messaging, naming, registry
from mysimbdp.settings import Settings
from mysimbdp.streaming import orders
from mysimbdp.streaming.checkpoint import CheckpointStore
from mysimbdp.streaming.orders import Order, Status

AGREEMENT = """
data_constraints: {file_types: [CSV], max_file_size: 1MB}
service_agreement:
  max_throughput: 1MB/s
  max_concurrent_ingestions: 1
  storage_space_staging: 10MB
  max_memory: 1GB
streams: {max_publish_rate: 500MB/s, max_consume_rate: 500MB/s, max_instances: 8}
contacts: [ops@tenant.example]
"""
ECHO = "def ingest(messages): return {'rows': messages}"


def wait_for(condition, seconds=60.0):
    """Await a condition; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


class Instance:
    """A running instance: what it says, and hands to end it."""

    def __init__(self, order, environment, log):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mysimbdp.streaming.instance"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
        )
        self.statuses = []
        self._beats = True
        self.process.stdin.write(orders.encode(order))
        self.process.stdin.flush()
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.statuses.append(orders.decode(line, Status))

    def _beat(self):
        while self._beats and self.process.poll() is None:
            try:
                self.process.stdin.write(b"\n")
                self.process.stdin.flush()
            except (OSError, ValueError):
                return
            time.sleep(orders.BEAT_SECONDS)

    @property
    def state(self):
        return self.statuses[-1].state if self.statuses else None

    def await_state(self, state, seconds=60.0):
        wait_for(lambda: self.state == state or self.process.poll() is not None, seconds)
        assert self.state == state, self.statuses[-3:]

    def fall_silent(self):
        self._beats = False

    def drain(self, seconds=40.0):
        """Ask for an end; return the exit code."""
        self._beats = False
        self.process.stdin.close()
        return self.process.wait(seconds)

    def kill(self):
        self.process.kill()
        self.process.wait()


@attrs.define
class StreamShop:
    tenant: str
    settings: Settings
    mongo_url: str
    platform_url: str
    login: dict
    metrics_login: dict
    coredms: object
    platform: object
    admin: AdminClient
    topics: list
    instances: list = attrs.field(factory=list)

    def produce(self, values, topic="events", partition=None, key=None, **settings):
        """Send messages, acknowledged."""
        producer = Producer({**self.login, "linger.ms": 5, **settings})
        where = {} if partition is None else {"partition": partition}
        for value in values:
            data = json.dumps(value).encode() if isinstance(value, dict) else value
            while True:
                try:
                    producer.produce(naming.topic(self.tenant, topic), data, key=key, **where)
                except BufferError:
                    producer.poll(0.5)
                else:
                    break
        assert producer.flush(60) == 0

    def start(self, number=0, app="app"):
        order = Order(
            tenant=self.tenant,
            app=app,
            number=number,
            kafka=self.login,
            metrics=self.metrics_login,
            mongo_url=self.mongo_url,
            platform_url=self.platform_url,
        )
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.settings.state),
            "LANG": "C.UTF-8",
            "MYSIMBDP_HOME": str(self.settings.home),
            "MYSIMBDP_STATE": str(self.settings.state),
        }
        with self.log.open("ab") as log:
            instance = Instance(order, environment, log)
        self.instances.append(instance)
        return instance

    @property
    def log(self):
        return self.settings.state / "instance.log"

    def documents(self, collection="rows"):
        return list(self.coredms[collection].find().sort("_id"))

    def numbers(self, collection="rows"):
        return sorted(document["n"] for document in self.documents(collection))

    def count(self, collection="rows"):
        return self.coredms[collection].count_documents({})

    def rejects(self):
        return list(self.coredms.rejects.find().sort([("partition", 1), ("offset", 1)]))

    def committed(self, group="app"):
        """Sum up what Kafka has of the group's offsets."""
        # A consumer that does not join; AdminClient.list_consumer_group_offsets brings the process
        # down while the group has no coordinator (librdkafka 2.16).
        asker = Consumer({**self.login, "group.id": naming.consumer_group(self.tenant, group)})
        try:
            topics = asker.list_topics(timeout=10).topics
            places = [
                TopicPartition(name, number)
                for name, topic in topics.items()
                for number in topic.partitions
                if name.startswith(naming.kafka_prefix(self.tenant))
            ]
            return sum(max(one.offset, 0) for one in asker.committed(places, timeout=10))
        except KafkaException:  # the group has no coordinator yet
            return -1
        finally:
            asker.close()

    def checkpoints(self, app="app"):
        return CheckpointStore(self.platform, self.tenant, app)

    def make_topic(self, name="events", partitions=1):
        full = naming.topic(self.tenant, name)
        self.admin.create_topics([NewTopic(full, partitions, 1)])[full].result()

    def delete_topic(self, name="events"):
        full = naming.topic(self.tenant, name)
        self.admin.delete_topics([full])[full].result()

    def await_no_topic(self, name="events"):
        full = naming.topic(self.tenant, name)
        wait_for(lambda: full not in self.admin.list_topics(timeout=10).topics)

    def forget_positions(self, group="app"):
        """Have everything read again."""
        self.checkpoints().reset()
        name = naming.consumer_group(self.tenant, group)
        wait_for(lambda: self._delete_group(name))

    def _delete_group(self, name):
        try:
            self.admin.delete_consumer_groups([name])[name].result()
        except KafkaException:
            return False
        return True

    @contextmanager
    def metrics(self):
        """Read the reports of this tenant from the topic `metrics`, from its beginning."""
        consumer = Consumer(
            {
                **self.metrics_login,
                "group.id": f"test.{self.tenant}.{time.monotonic_ns()}",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([naming.METRICS_TOPIC])
        found = []

        def reports():
            # Other tests have put other things into the topic.
            found.extend(
                json.loads(message.value())
                for message in consumer.consume(500, 0.5)
                if message.error() is None and self.tenant.encode() in message.value()
            )
            return found

        try:
            yield reports
        finally:
            consumer.close()


@contextmanager
def opened(mongod, kafka, tenant, folder, code=ECHO, *, app="", partitions=1, agreement=AGREEMENT):
    """Set a tenant up as the registrar does; `app` adds keys to its registration."""
    home, state = folder / "home", folder / "state"
    code_folder = home / "tenant_pipelines" / tenant
    code_folder.mkdir(parents=True)
    (home / "constraints").mkdir()
    (home / "constraints" / f"{tenant}.yaml").write_text(agreement)
    (code_folder / "pipeline.py").write_text(textwrap.dedent(code))
    extra = textwrap.dedent(app)
    lines = ["topics: [events]", "callable: pipeline:ingest", "window: 1s"]
    if "collections:" not in extra:
        lines.append("collections: {rows: {}}")
    lines = [line for line in lines if line.partition(":")[0] + ":" not in extra]
    text = "\n".join([*lines, extra])
    (code_folder / "pipelines.yaml").write_text(
        f"topics:\n  events: {{partitions: {partitions}}}\nstreams:\n  app:\n"
        + textwrap.indent(text, "    ")
        + "\n"
    )
    (registered,) = registry.load_tree(home)
    assert not registered.problems, registered.problems
    settings = attrs.evolve(kafka.settings, home=home, state=state)
    state.mkdir()
    registry.publish(settings.registry, [registered])
    clients = []

    def database(url, name):
        clients.append(pymongo.MongoClient(url))
        return clients[-1].get_database(name, codec_options=CodecOptions(tz_aware=True))

    mongo_url = mongod.add_tenant(tenant)
    admin = AdminClient(kafka.registrar_login())
    shop = StreamShop(
        tenant=tenant,
        settings=settings,
        mongo_url=mongo_url,
        platform_url=mongod.url("platform"),
        login=kafka.add_tenant(tenant),
        metrics_login=kafka.registrar_login(),
        coredms=database(mongo_url, naming.database(tenant)),
        platform=database(mongod.url("platform"), naming.PLATFORM_DATABASE),
        admin=admin,
        topics=[],
    )
    shop.make_topic(partitions=partitions)
    if naming.METRICS_TOPIC not in admin.list_topics(timeout=10).topics:
        shop.admin.create_topics([NewTopic(naming.METRICS_TOPIC, 1, 1)])[
            naming.METRICS_TOPIC
        ].result()
    try:
        yield shop
    finally:
        for instance in shop.instances:
            instance.kill()
        for client in clients:
            client.close()
        assert messaging.address(settings)
