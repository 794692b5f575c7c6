import re
import stat

import attrs
import pytest

from mysimbdp import errors, settings
from mysimbdp.local_stack import kafka, kafka_configuration
from mysimbdp.secrets import SecretStore


@pytest.fixture
def places(tmp_path):
    return settings.from_environment(
        {
            "MYSIMBDP_HOME": str(tmp_path),
            "MYSIMBDP_KAFKA_PORT": "19092",
            "MYSIMBDP_KAFKA_CONTROLLER_PORT": "19093",
        }
    )


@pytest.fixture
def written(places):
    """Write the configuration; return its lines as a dict."""
    kafka_configuration.write(places, SecretStore(places.secrets))
    text = kafka_configuration.path(places).read_text()
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


def test_the_broker_listens_on_this_machine_only_and_asks_everybody_for_a_login(written):
    assert written["listeners"] == "CLIENT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093"
    protocols = written["listener.security.protocol.map"].split(",")
    assert {each.split(":")[1] for each in protocols} == {"SASL_PLAINTEXT"}
    assert written["allow.everyone.if.no.acl.found"] == "false"
    assert written["auto.create.topics.enable"] == "false"


def test_only_the_broker_and_the_registrar_have_plain_logins(written):
    users = re.findall(r"user_(\w+)=", written["listener.name.client.plain.sasl.jaas.config"])

    assert sorted(users) == ["broker", "registrar"]
    assert "user_" not in written["listener.name.client.scram-sha-512.sasl.jaas.config"]


def test_passwords_are_in_files_for_their_owner_only_and_on_no_command_line(places, written):
    values = [each.read_text().strip() for each in places.secrets.rglob("*") if each.is_file()]
    files = [*places.secrets.glob("kafka/*"), *(places.state / "kafka").iterdir()]

    assert len(values) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert not [value for value in values if value in " ".join(kafka.command(places))]


def test_passwords_stay_the_same_over_starts(places, written):
    before = kafka_configuration.path(places).read_text()

    kafka_configuration.write(places, SecretStore(places.secrets))

    assert kafka_configuration.path(places).read_text() == before


def test_odd_folder_names_are_written_as_java_reads_them(places):
    odd = attrs.evolve(places, state=places.state / "50% \\ füll")
    kafka_configuration.write(odd, SecretStore(odd.secrets))

    text = kafka_configuration.path(odd).read_text()
    assert f"log.dirs={places.state}/50% \\\\ f\\u00fcll/kafka/data\n" in text


def test_a_folder_that_kafka_would_take_for_two_is_refused(places):
    odd = attrs.evolve(places, state=places.state / "a,b")

    with pytest.raises(errors.StackError, match=r"a,b/kafka/data, whose name has a comma"):
        kafka_configuration.write(odd, SecretStore(odd.secrets))
