import secrets as generator
import time
import uuid

import attrs
import pytest
import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from airflow_in_memory import BrokenOffError
from mysimbdp import errors, messaging, naming
from mysimbdp.registrar import (
    kafka_logins,
    kafka_quotas,
    kafka_rights,
    kafka_topics,
    purge,
)
from mysimbdp.registrar.kafka import Kafka
from registrar_world import World

PATIENCE_SECONDS = 20.0
MESSAGE = b"226 bytes or so"


@pytest.fixture
def world(mongod, kafka, tmp_path, platform_database):
    made = World(mongod, tmp_path, kafka)
    yield made
    for client in made.clients:
        client.close()


@pytest.fixture
def admin(kafka):
    return AdminClient(kafka.registrar_login())


@pytest.fixture
def quotas(kafka):
    client = kafka_quotas.QuotaClient(kafka.registrar_login(), PATIENCE_SECONDS)
    yield client
    client.close()


@pytest.fixture
def add(world, tenant_name):
    """Give a function that commits a tenant with streams."""

    def add(name=None, **streams):
        tenant = name or tenant_name()
        world.commit(tenant)
        world.agree_on_streams(tenant, **streams)
        return tenant

    return add


@pytest.fixture
def consumers():
    """Give a function that opens consumers, which are closed after the test."""
    opened = []

    def make(login, group, **options):
        own = {"group.id": group, "auto.offset.reset": "earliest", "session.timeout.ms": 6000}
        opened.append(Consumer(login | own | {"log_level": 2} | options))
        return opened[-1]

    yield make
    for consumer in opened:
        consumer.close()


def told(changes, tenant):
    return [change.change for change in changes if change.tenant == tenant]


def login_of(world, tenant):
    return messaging.tenant_login(world.places, world.secrets, tenant)


def platform_login(world):
    return messaging.platform_login(world.places, world.secrets)


def send(login, topic, value=MESSAGE, **options):
    """Send one message and wait; raise what Kafka says."""
    outcomes = []
    quick = {
        "message.timeout.ms": 15000,
        "topic.metadata.propagation.max.ms": 3000,
        "log_level": 2,
    }
    producer = Producer(login | quick | options)
    producer.produce(topic, value, on_delivery=lambda error, _: outcomes.append(error))
    producer.flush(PATIENCE_SECONDS)
    (error,) = outcomes
    if error is not None:
        raise KafkaException(error)


def receive(consumer):
    """Wait for one message; raise what Kafka says."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None:
            if message.error():
                raise KafkaException(message.error())
            return message.value()
    raise AssertionError("no message came")


def read_first(consumers, login, topic, group):
    consumer = consumers(login, group)
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    return receive(consumer)


def subscribe(consumers, login, topic, group, **options):
    consumer = consumers(login, group, **options)
    consumer.subscribe([topic])
    return consumer


def begin_transaction(login, name):
    producer = Producer(login | {"transactional.id": name, "log_level": 2})
    producer.init_transactions(PATIENCE_SECONDS)


def code_of(action, *arguments, **options):
    """Name what Kafka refuses with."""
    with pytest.raises(KafkaException) as caught:
        action(*arguments, **options)
    return caught.value.args[0].name()


def result(futures):
    (future,) = futures.values()
    return future.result()


def until(seen):
    """Wait until the server shows what was changed by hand; it takes a moment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def retention_ms(admin, topic):
    found = result(admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))
    return int(found["retention.ms"].value)


def topics_of(admin, tenant):
    found = admin.list_topics(timeout=PATIENCE_SECONDS).topics
    prefix = naming.kafka_prefix(tenant)
    return {
        name.removeprefix(prefix): len(topic.partitions)
        for name, topic in found.items()
        if name.startswith(prefix)
    }


def rights_of(admin, user):
    return {right for right in kafka_rights.read(admin) if right.principal == f"User:{user}"}


def test_a_tenant_sends_and_reads_its_topics_with_its_own_login(world, add, consumers):
    tenant = add(topics={"weather": 2})

    world.start().reconcile()

    login = login_of(world, tenant)
    send(login, naming.topic(tenant, "weather"))
    send(login, naming.topic(tenant, "metrics"))
    begin_transaction(login, f"{tenant}.any")
    topic = naming.topic(tenant, "weather")
    assert receive(subscribe(consumers, login, topic, f"{tenant}.any")) == MESSAGE
    assert set(AdminClient(login).list_topics(timeout=PATIENCE_SECONDS).topics) == {
        topic,
        naming.topic(tenant, "metrics"),
    }


def test_everything_of_a_tenant_is_in_place_before_its_stream_apps_are_published(world, add, admin):
    tenant = add(topics={"weather": 3, "wind": 1}, retention="2h")

    world.start().reconcile()

    assert topics_of(admin, tenant) == {"weather": 3, "wind": 1, "metrics": 1}
    assert retention_ms(admin, naming.topic(tenant, "weather")) == 2 * 3600 * 1000
    assert len(admin.list_topics(naming.METRICS_TOPIC).topics[naming.METRICS_TOPIC].partitions) == 4
    assert naming.kafka_connection(tenant) in world.airflow.kept["connections"]
    assert naming.KAFKA_CONNECTION in world.airflow.kept["connections"]
    (published,) = world.published()
    assert set(published.registration.streams) == {"weather-app", "wind-app"}


@pytest.mark.parametrize("owner_is_the_shorter_name", [True, False])
def test_a_tenant_is_refused_on_all_that_belongs_to_another_whatever_their_names(
    world, add, consumers, owner_is_the_shorter_name
):
    short = add()
    names = [short, add(f"{short}0")]
    owner, intruder = names if owner_is_the_shorter_name else reversed(names)
    world.start().reconcile()
    login, topic = login_of(world, intruder), naming.topic(owner, "weather")
    own_group, foreign_group = f"{intruder}.g", f"{owner}.g"
    send(login_of(world, owner), topic)
    own_login = login_of(world, owner)
    assert receive(subscribe(consumers, own_login, topic, foreign_group)) == MESSAGE

    assert code_of(send, login, topic) == "TOPIC_AUTHORIZATION_FAILED"
    consumer = subscribe(consumers, login, topic, own_group)
    assert code_of(receive, consumer) == "TOPIC_AUTHORIZATION_FAILED"
    consumer = subscribe(consumers, login, naming.topic(intruder, "weather"), foreign_group)
    assert code_of(receive, consumer) == "GROUP_AUTHORIZATION_FAILED"
    assert code_of(begin_transaction, login, f"{owner}.t") == (
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
    )
    seen = AdminClient(login)
    assert topic not in seen.list_topics(timeout=PATIENCE_SECONDS).topics
    assert foreign_group not in {
        group.group_id for group in seen.list_consumer_groups().result().valid
    }
    offsets = [ConsumerGroupTopicPartitions(foreign_group)]
    assert code_of(lambda: result(seen.list_consumer_group_offsets(offsets))) == (
        "GROUP_AUTHORIZATION_FAILED"
    )


def test_tenants_neither_write_nor_read_the_platforms_reports(world, add, consumers):
    tenant = add()
    world.start().reconcile()
    login = login_of(world, tenant)

    assert code_of(send, login, naming.METRICS_TOPIC) == "TOPIC_AUTHORIZATION_FAILED"
    consumer = subscribe(consumers, login, naming.METRICS_TOPIC, f"{tenant}.g")
    assert code_of(receive, consumer) == "TOPIC_AUTHORIZATION_FAILED"
    consumer = subscribe(consumers, login, naming.topic(tenant, "weather"), "mysimbdp.alerting")
    assert code_of(receive, consumer) == "GROUP_AUTHORIZATION_FAILED"


def test_topics_are_the_platforms_even_below_a_tenants_own_prefix(world, add, admin):
    tenant = add()
    world.start().reconcile()
    client, topic = AdminClient(login_of(world, tenant)), naming.topic(tenant, "weather")

    forever = ConfigEntry("retention.ms", "-1", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[forever])
    for attempt in (
        lambda: client.create_topics([NewTopic(naming.topic(tenant, "mine"), 1)]),
        lambda: client.delete_topics([topic]),
        lambda: client.incremental_alter_configs([resource]),
    ):
        assert code_of(lambda attempt=attempt: result(attempt())) == "TOPIC_AUTHORIZATION_FAILED"
    code = code_of(send, login_of(world, tenant), naming.topic(tenant, "unknown"))
    assert code in {"_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART", "_MSG_TIMED_OUT"}
    assert topics_of(admin, tenant) == {"weather": 1, "metrics": 1}


def test_the_platform_sees_how_far_tenants_are_and_their_reports_but_no_message(
    world, add, consumers
):
    tenant = add()
    world.start().reconcile()
    topic, group = naming.topic(tenant, "weather"), naming.consumer_group(tenant, "readings")
    login = login_of(world, tenant)
    send(login, topic)
    send(login, naming.topic(tenant, "metrics"), b"of its own")
    consumer = subscribe(consumers, login, topic, group)
    assert receive(consumer) == MESSAGE
    consumer.commit(asynchronous=False)

    platform = platform_login(world)
    mark = uuid.uuid4().bytes
    send(platform, naming.METRICS_TOPIC, mark, **{"enable.idempotence": True})

    reports = naming.topic(tenant, "metrics")
    assert read_first(consumers, platform, reports, "mysimbdp.alerting") == b"of its own"
    reader = subscribe(consumers, platform, naming.METRICS_TOPIC, f"mysimbdp.{mark.hex()}")
    assert any(receive(reader) == mark for _ in range(1000))
    offsets = [ConsumerGroupTopicPartitions(group)]
    client = AdminClient(platform)
    found = result(client.list_consumer_group_offsets(offsets))
    assert [place.offset for place in found.topic_partitions] == [1]
    watcher = consumers(platform, "mysimbdp.lag")
    assert watcher.get_watermark_offsets(TopicPartition(topic, 0), PATIENCE_SECONDS) == (0, 1)
    assert code_of(send, platform, topic) == "TOPIC_AUTHORIZATION_FAILED"
    refused = code_of(read_first, consumers, platform, topic, "mysimbdp.g")
    assert refused == "TOPIC_AUTHORIZATION_FAILED"


def test_a_tenant_that_sends_faster_than_agreed_is_slowed_down_and_its_neighbour_is_not(world, add):
    slow, fast = add(max_publish_rate="100KB/s"), add()
    world.start().reconcile()
    events = {slow: [], fast: []}

    for tenant, heard in events.items():
        producer = Producer(
            login_of(world, tenant) | {"throttle_cb": heard.append, "linger.ms": 0, "log_level": 2}
        )
        for _ in range(15):
            producer.produce(naming.topic(tenant, "weather"), generator.token_bytes(100 * 1024))
            producer.flush(1)
            producer.poll(0)

    assert any(event.throttle_time > 0 for event in events[slow])
    assert events[fast] == []


def test_a_changed_agreement_changes_the_quotas(world, add, quotas):
    tenant = add(max_publish_rate="1MB/s", max_consume_rate="2MB/s")
    registrar = world.start()
    registrar.reconcile()
    world.agree_on_streams(tenant, max_publish_rate="3MB/s", max_consume_rate="2MB/s")

    changes = registrar.reconcile()

    assert f"Kafka quotas of {tenant} set" in told(changes, tenant)
    assert quotas.read()[(("user", tenant),)] == {
        "producer_byte_rate": 3 * 2**20,
        "consumer_byte_rate": 2 * 2**20,
    }
    assert registrar.reconcile() == []


def test_quotas_changed_by_hand_are_corrected_those_of_single_clients_too(world, add, quotas):
    tenant = add(max_publish_rate="1MB/s", max_consume_rate="1MB/s")
    registrar = world.start()
    registrar.reconcile()
    own, client = (("user", tenant),), (("client-id", "fast"), ("user", tenant))
    quotas.write({own: {"producer_byte_rate": 1e9, "request_percentage": 500.0}})
    quotas.write({client: {"consumer_byte_rate": 1e9}})
    until(lambda: client in quotas.read())

    assert told(registrar.reconcile(), tenant) == [f"Kafka quotas of {tenant} set"]

    found = {entity: quota for entity, quota in quotas.read().items() if ("user", tenant) in entity}
    assert found == {own: {"producer_byte_rate": 2**20, "consumer_byte_rate": 2**20}}
    assert registrar.reconcile() == []


def test_rights_changed_by_hand_are_corrected(world, add, admin):
    tenant, other = add(), add()
    registrar = world.start()
    registrar.reconcile()
    extra = AclBinding(
        ResourceType.TOPIC,
        naming.topic(other, "weather"),
        ResourcePatternType.LITERAL,
        f"User:{tenant}",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
    kafka_rights.take(admin, tenant)
    result(admin.create_acls([extra]))
    until(lambda: rights_of(admin, tenant) == {extra})

    assert told(registrar.reconcile(), tenant) == [f"Kafka rights of {tenant} corrected"]

    assert rights_of(admin, tenant) == kafka_rights.of_tenant(tenant)
    assert registrar.reconcile() == []


@pytest.mark.parametrize("lost", ["password", "login", "secret", "another mechanism"])
def test_a_login_that_does_not_fit_its_secret_is_set_again(world, add, admin, lost):
    tenant = add()
    registrar = world.start()
    registrar.reconcile()
    sha256, sha512 = ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512
    own = kafka_logins.seal(login_of(world, tenant)["sasl.password"])
    by_hand = {
        "password": UserScramCredentialUpsertion(
            tenant, ScramCredentialInfo(sha512, 4096), b"somebody's"
        ),
        "login": UserScramCredentialDeletion(tenant, sha512),
        "another mechanism": UserScramCredentialUpsertion(
            tenant, ScramCredentialInfo(sha256, 8192), b"somebody's"
        ),
    }
    if lost == "secret":
        world.secrets.forget(f"kafka/tenants/{tenant}")
    else:
        seen = {
            "password": {sha512: 4096},
            "login": None,
            "another mechanism": {sha256: 8192, sha512: own},
        }
        result(admin.alter_user_scram_credentials([by_hand[lost]]))
        until(lambda: kafka_logins.read(admin).get(tenant) == seen[lost])

    changes = told(registrar.reconcile(), tenant)

    assert changes[0] in {
        f"password of the Kafka login {tenant} set",
        f"Kafka login {tenant} made",
    }
    send(login_of(world, tenant), naming.topic(tenant, "weather"))
    assert set(kafka_logins.read(admin)[tenant]) == {sha512}
    assert registrar.reconcile() == []


def test_a_second_pass_changes_nothing_nor_does_a_new_process(world, add):
    add(topics={"weather": 2})
    add()
    registrar = world.start()

    assert registrar.reconcile() != []
    assert registrar.reconcile() == []
    assert world.start().reconcile() == []


def test_topics_grow_and_their_retention_follows_the_agreement(world, add, admin):
    tenant = add(topics={"weather": 1}, retention="1h")
    registrar = world.start()
    registrar.reconcile()
    world.agree_on_streams(tenant, topics={"weather": 3, "wind": 1}, retention="3h")

    changes = told(registrar.reconcile(), tenant)

    assert f"topic {tenant}.weather extended to 3 partitions" in changes
    assert f"retention of topic {tenant}.weather corrected" in changes
    assert topics_of(admin, tenant) == {"weather": 3, "wind": 1, "metrics": 1}
    assert retention_ms(admin, naming.topic(tenant, "weather")) == 3 * 3600 * 1000
    assert registrar.reconcile() == []


def test_a_topic_that_cannot_be_as_registered_is_told_once_and_stops_nothing_else(
    world, add, admin, consumers
):
    tenant = add(topics={"weather": 3})
    registrar = world.start()
    registrar.reconcile()
    world.agree_on_streams(tenant, topics={"weather": 1, "wind": 1})
    other = add()

    with structlog.testing.capture_logs() as logs:
        registrar.reconcile()
        registrar.reconcile()

    (refusal,) = [entry for entry in logs if entry["event"] == "refused"]
    assert refusal["tenant"] == tenant
    assert "has 3 partitions, expected 1 as registered" in refusal["reason"]
    assert topics_of(admin, tenant) == {"weather": 3, "wind": 1, "metrics": 1}
    assert topics_of(admin, other) == {"weather": 1, "metrics": 1}
    published = {one.tenant: set(one.registration.streams) for one in world.published()}
    assert published == {tenant: {"weather-app", "wind-app"}, other: {"weather-app"}}


def test_two_topics_whose_names_kafka_cannot_tell_apart_are_refused_in_words(
    world, add, admin, tenant_name
):
    first = tenant_name()
    add(first, topics={"a_b": 1})
    second = add(f"{first}_a", topics={"b": 1, "c": 1})

    with structlog.testing.capture_logs() as logs:
        world.start().reconcile()

    (refusal,) = [entry for entry in logs if entry["event"] == "refused"]
    assert refusal["tenant"] == second
    assert f"The topic {second}.b cannot be as registered: " in refusal["reason"]
    assert topics_of(admin, second) == {"c": 1, "metrics": 1}


def test_a_topic_that_left_the_registration_keeps_its_messages(world, add, admin):
    tenant = add(topics={"weather": 1, "wind": 1})
    registrar = world.start()
    registrar.reconcile()
    world.agree_on_streams(tenant, topics={"weather": 1})

    registrar.reconcile()

    assert set(topics_of(admin, tenant)) == {"weather", "wind", "metrics"}


@pytest.mark.parametrize("module", [kafka_rights, kafka_topics, kafka_logins])
def test_a_killed_registrar_is_finished_by_the_next_one(world, add, monkeypatch, module):
    world.start().reconcile()
    tenant = add()
    broken = iter([False, True])  # the platform's own comes first
    real = module.ensure

    def break_off(*arguments):
        if next(broken):
            raise BrokenOffError
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(module, "ensure", break_off)
        with pytest.raises(BrokenOffError):
            world.start().reconcile()
    (published,) = world.published()
    assert published.registration.streams == {}

    world.start().reconcile()

    send(login_of(world, tenant), naming.topic(tenant, "weather"))
    (published,) = world.published()
    assert set(published.registration.streams) == {"weather-app"}
    assert world.start().reconcile() == []


STEPS = [(kafka_rights, "take"), (kafka_logins, "drop"), (kafka_quotas.QuotaClient, "write")]


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_withdrawal_is_finished_by_the_next_registrar(
    world, add, admin, monkeypatch, step
):
    tenant = add()
    world.start().reconcile()
    world.agreement(tenant).unlink()

    def break_off(*_):
        raise BrokenOffError

    with monkeypatch.context() as patched:
        patched.setattr(*step, break_off)
        with pytest.raises(BrokenOffError):
            world.start().reconcile()

    world.start().reconcile()

    assert rights_of(admin, tenant) == set()
    assert tenant not in kafka_logins.read(admin)
    assert not (world.secrets.folder / "kafka/tenants" / tenant).exists()
    assert world.start().reconcile() == []


def want_app(platform_database, tenant, state="running"):
    platform_database.streams.insert_one(
        {"_id": f"{tenant}.app", "tenant": tenant, "app": "app", "wish": {"state": state}}
    )


def test_a_withdrawn_tenant_is_refused_where_it_is_connected_and_where_it_connects(
    world, add, admin, consumers, platform_database
):
    tenant, other = add(), add()
    world.start().reconcile()
    login, topic = login_of(world, tenant), naming.topic(tenant, "weather")
    consumer = subscribe(consumers, login, topic, f"{tenant}.g")
    send(login, topic)
    assert receive(consumer) == MESSAGE
    for name in (tenant, other):
        want_app(platform_database, name)
    world.agreement(tenant).unlink()

    changes = told(world.start().reconcile(), tenant)

    assert {"Kafka login revoked", "stream apps stopped"} < set(changes)
    assert code_of(receive, consumer) in {
        "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
    }
    refused = []
    stranger = AdminClient(login | {"log_level": 2}, error_cb=refused.append)
    with pytest.raises(KafkaException):
        stranger.list_topics(timeout=2)
    stranger.poll(0)
    assert KafkaError._AUTHENTICATION in {error.code() for error in refused}
    assert naming.kafka_connection(tenant) not in world.airflow.kept["connections"]
    wishes = {one["tenant"]: one["wish"]["state"] for one in platform_database.streams.find()}
    assert wishes == {tenant: "stopped", other: "running"}
    assert platform_database.streams.find_one({"tenant": tenant})["wish"]["by"] == "registrar"
    assert "weather" in topics_of(admin, tenant)
    send(login_of(world, other), naming.topic(other, "weather"))
    reports = naming.topic(tenant, "metrics")
    assert reports not in {right.name for right in rights_of(admin, messaging.PLATFORM)}


def test_a_tenant_whose_agreement_has_no_streams_any_more_loses_only_those(
    world, add, admin, platform_database
):
    tenant = add()
    registrar = world.start()
    registrar.reconcile()
    want_app(platform_database, tenant)
    world.end_streams(tenant)

    changes = told(registrar.reconcile(), tenant)

    assert {"Kafka login revoked", "stream apps stopped"} < set(changes)
    assert rights_of(admin, tenant) == set()
    assert platform_database.streams.find_one({"tenant": tenant})["wish"]["state"] == "stopped"
    assert naming.kafka_connection(tenant) not in world.airflow.kept["connections"]
    (published,) = world.published()
    assert (set(published.registration.batch), published.registration.streams) == ({"example"}, {})
    assert world.connect(tenant)[tenant].rows.find_one() is None
    assert registrar.reconcile() == []


def test_a_tenant_without_streams_has_nothing_in_kafka(world, admin, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)

    world.start().reconcile()

    assert rights_of(admin, tenant) == set()
    assert tenant not in kafka_logins.read(admin)
    assert topics_of(admin, tenant) == {}


def test_users_of_others_in_the_same_kafka_are_never_touched(world, add, admin, tenant_name):
    stranger = tenant_name()
    theirs = AclBinding(
        ResourceType.TOPIC,
        "their-topic",
        ResourcePatternType.LITERAL,
        f"User:{stranger}",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    user = UserScramCredentialUpsertion(stranger, info, b"theirs")
    result(admin.create_acls([theirs]))
    result(admin.alter_user_scram_credentials([user]))
    add()

    world.start().reconcile()

    assert rights_of(admin, stranger) == {theirs}
    assert stranger in kafka_logins.read(admin)


def test_files_are_ingested_and_stream_apps_wait_while_kafka_does_not_answer(
    world, add, free_port, tenant_name
):
    old = add()
    world.start().reconcile()
    world.agree_on_streams(old, topics={"weather": 1, "wind": 1})
    new = add()
    batch_only = tenant_name()
    world.commit(batch_only)
    away = world.start()
    unreachable = attrs.evolve(world.places, kafka_port=free_port())
    away.kafka = Kafka(unreachable, world.secrets, patience_seconds=0.5)

    with pytest.raises(errors.ServiceUnavailableError, match=r"Kafka at .* does not answer"):
        away.reconcile()

    published = {one.tenant: set(one.registration.streams) for one in world.published()}
    assert published == {old: {"weather-app"}, new: set(), batch_only: set()}
    assert world.connect(new)[new].rows.find_one() is None

    world.start().reconcile()

    published = {one.tenant: set(one.registration.streams) for one in world.published()}
    assert published == {old: {"weather-app", "wind-app"}, new: {"weather-app"}, batch_only: set()}


def test_a_registrar_goes_on_with_a_kafka_that_was_restarted(world, add, kafka):
    registrar = world.start()
    registrar.reconcile()
    kafka.restart()
    tenant = add()

    changes = registrar.reconcile()

    assert f"Kafka login {tenant} made" in told(changes, tenant)


def test_an_administrators_login_that_is_refused_is_named(world, add):
    add()
    registrar = world.start()
    world.secrets.write("kafka/registrar", "wrong")
    registrar.kafka = Kafka(world.places, world.secrets, patience_seconds=2)

    with pytest.raises(
        errors.ConfigurationError, match=r"refuses the registrar's login.*kafka/registrar"
    ):
        registrar.reconcile()


def test_purging_deletes_topics_groups_and_states_of_that_tenant_only(
    world, add, admin, consumers, platform_database
):
    tenant, other = add(), add()
    registrar = world.start()
    registrar.reconcile()
    for name in (tenant, other):
        login, topic = login_of(world, name), naming.topic(name, "weather")
        send(login, topic)
        consumer = subscribe(consumers, login, topic, f"{name}.g")
        assert receive(consumer) == MESSAGE
        consumer.commit(asynchronous=False)
        want_app(platform_database, name)
        platform_database.checkpoints.insert_one({"tenant": name, "app": "app"})
    log = world.places.logs / "streams" / f"{tenant}.app.log"
    log.parent.mkdir(parents=True)
    log.write_text("ended\n")
    exports = world.places.state / "exports" / tenant
    (exports / "app").mkdir(parents=True)
    arguments = (world.places, world.secrets, registrar.coredms, registrar.kafka, tenant)
    with pytest.raises(errors.UsageError, match="not withdrawn yet, nothing is deleted"):
        purge.purge(*arguments)
    world.agreement(tenant).unlink()
    registrar.reconcile()

    for _ in range(2):
        purge.purge(*arguments)

    groups = {group.group_id for group in admin.list_consumer_groups().result().valid}
    assert (f"{tenant}.g" in groups, f"{other}.g" in groups) == (False, True)
    assert topics_of(admin, tenant) == {}
    assert "weather" in topics_of(admin, other)
    for name in ("streams", "checkpoints"):
        assert [one["tenant"] for one in platform_database[name].find()] == [other]
    assert not log.exists()
    assert not exports.exists()
