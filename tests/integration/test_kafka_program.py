import shlex
import stat

import attrs
import confluent_kafka
import psutil
import pytest
from confluent_kafka import admin as kafka_admin

from mysimbdp import errors, messaging
from mysimbdp.local_stack import kafka_configuration, kafka_probe

#: Every answer here is awaited; a test that needs so long has failed.
SECONDS = 30
#: So long a client looks for a topic that is not there.
BRIEF_SECONDS = 5


def make_topic(kafka, name):
    client = kafka_admin.AdminClient(kafka.registrar_login())
    client.create_topics([kafka_admin.NewTopic(name, 2, 1)])[name].result(SECONDS)


def produce(login, topic, value, seconds=SECONDS):
    """Send one message; return the error of its delivery, if any."""
    errors_seen = []
    producer = confluent_kafka.Producer(login | {"message.timeout.ms": seconds * 1000})
    producer.produce(topic, value, on_delivery=lambda error, _: errors_seen.append(error))
    producer.flush(2 * seconds)
    (error,) = errors_seen
    return error


def consume(login, topic, group, count):
    consumer = confluent_kafka.Consumer(
        login | {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    try:
        consumer.subscribe([topic])
        found = consumer.consume(count, SECONDS)
        assert not [each.error() for each in found if each.error()]
        return sorted(each.value() for each in found)
    finally:
        consumer.close()


@pytest.fixture
def topic(kafka, tenant_name):
    """Give a topic of a new tenant and that tenant's login."""
    tenant = tenant_name()
    make_topic(kafka, f"{tenant}.rows")
    return f"{tenant}.rows", kafka.add_tenant(tenant)


def test_a_tenant_writes_and_reads_its_own_topic(topic):
    name, login = topic

    assert produce(login, name, b"1") is None
    assert consume(login, name, name, 1) == [b"1"]


def test_acknowledged_messages_logins_and_rights_survive_a_kill_and_a_restart(kafka, topic):
    name, login = topic
    assert produce(login, name, b"1") is None

    kafka.kill()
    assert not kafka_probe.answers(login)
    kafka.start()
    assert produce(login, name, b"2") is None
    kafka.restart()

    assert consume(login, name, name, 2) == [b"1", b"2"]


def test_an_unknown_user_a_wrong_password_and_nobody_are_refused(kafka, topic):
    _, login = topic

    assert kafka_probe.answers(login)
    assert not kafka_probe.answers(login | {"sasl.username": "nobody"})
    assert not kafka_probe.answers(login | {"sasl.password": "wrong"})
    assert not kafka_probe.answers({"bootstrap.servers": login["bootstrap.servers"]})


def test_no_tenant_can_be_a_plain_user(topic):
    _, login = topic

    assert not kafka_probe.answers(login | {"sasl.mechanism": "PLAIN"})


def test_a_tenant_is_refused_on_another_tenants_topic(kafka, topic, tenant_name):
    name, _ = topic
    other = kafka.add_tenant(tenant_name())

    error = produce(other, name, b"1", BRIEF_SECONDS)

    assert error.code() == confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_topics_are_not_made_by_writing_to_them(kafka, tenant_name):
    name = f"{tenant_name()}.rows"
    error = produce(kafka.registrar_login(), name, b"1", BRIEF_SECONDS)

    assert error is not None
    topics = kafka_admin.AdminClient(kafka.registrar_login()).list_topics(timeout=SECONDS).topics
    assert name not in topics


def test_no_password_is_on_a_command_line_or_in_the_log(kafka, topic):
    passwords = [
        each.read_text().strip() for each in kafka.secrets.folder.rglob("*[!.]*") if each.is_file()
    ]
    lines = [
        shlex.join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    ]
    log = (kafka.settings.state / "kafka.log").read_text()

    assert len(passwords) > 3
    assert any(str(kafka_configuration.path(kafka.settings)) in line for line in lines)
    assert not [word for word in passwords if any(word in line for line in lines)]
    assert "Kafka Server started" in log
    assert not [word for word in passwords if word in log]


def test_its_files_are_for_their_owner_only(kafka):
    folder = kafka_configuration.path(kafka.settings).parent

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.properties")} == {0o600}


def test_the_data_may_move_to_other_ports_and_get_new_passwords(kafka, free_port, tmp_path):
    own = type(kafka)(tmp_path)
    try:
        make_topic(own, "some.rows")
        own.stop()
        for name in ("registrar", "broker", "controller"):
            own.secrets.forget(f"kafka/{name}")
        own.settings = attrs.evolve(
            own.settings, kafka_port=free_port(), kafka_controller_port=free_port()
        )

        own.start()

        login = own.registrar_login()
        assert "some.rows" in kafka_admin.AdminClient(login).list_topics(timeout=SECONDS).topics
    finally:
        own.kill()


def test_a_kafka_of_the_providers_own_is_used_with_the_given_login(kafka, tmp_path):
    given = tmp_path / "login"
    given.write_text("".join(f"{key}={text}\n" for key, text in kafka.registrar_login().items()))
    own = attrs.evolve(
        kafka.settings, kafka_broker=messaging.address(kafka.settings), kafka_login=given
    )

    kafka_probe.check(messaging.registrar_login(own, kafka.secrets))


def test_a_kafka_that_does_not_answer_is_told_in_one_sentence(kafka, free_port, monkeypatch, capfd):
    monkeypatch.setattr(kafka_probe, "READY_SECONDS", 0.5)
    address = f"127.0.0.1:{free_port()}"

    with pytest.raises(
        errors.StackError, match=f"Kafka at {address} cannot be used: it does not answer .*KAFKA_BR"
    ):
        kafka_probe.check(kafka.registrar_login() | {"bootstrap.servers": address})

    # A client that an earlier test left behind may speak, but not about this address.
    assert address not in capfd.readouterr().err


def test_a_kafka_that_refuses_the_login_is_told_in_one_sentence(kafka, monkeypatch):
    monkeypatch.setattr(kafka_probe, "READY_SECONDS", 2)

    with pytest.raises(
        errors.StackError, match=r"refuses the registrar's login.*KAFKA_LOGIN"
    ) as no:
        kafka_probe.check(kafka.registrar_login() | {"sasl.password": "not-this"})

    assert "not-this" not in str(no.value)


def test_a_kafka_without_any_given_login_is_told_in_one_sentence(kafka):
    own = attrs.evolve(kafka.settings, kafka_broker=messaging.address(kafka.settings))

    with pytest.raises(errors.StackError, match=r"properties are not usable .*KAFKA_LOGIN"):
        kafka_probe.check(messaging.registrar_login(own, kafka.secrets))
