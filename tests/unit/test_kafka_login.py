import pytest
from typer import testing

from mysimbdp import cli
from mysimbdp.secrets import SecretStore

LOGIN = """\
# from the provider
security.protocol=SASL_SSL
sasl.mechanism=SCRAM-SHA-512
sasl.username=admin
sasl.password=a"b\\c
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Give a function that runs `mysimbdp kafka-login` on an empty state."""
    for name in ("KAFKA_BROKER", "KAFKA_LOGIN", "MYSIMBDP_STATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MYSIMBDP_HOME", str(tmp_path))
    monkeypatch.setenv("MYSIMBDP_KAFKA_PORT", "19092")

    def go(*arguments):
        return testing.CliRunner().invoke(cli.app, ["kafka-login", *arguments])

    go.secrets = SecretStore(tmp_path / "var" / "secrets")
    return go


def test_the_providers_login_is_printed_as_librdkafka_reads_it(run):
    run.secrets.write("kafka/registrar", "hidden")

    assert run().stdout.splitlines() == [
        "security.protocol=SASL_PLAINTEXT",
        "bootstrap.servers=127.0.0.1:19092",
        "sasl.mechanism=PLAIN",
        "sasl.username=registrar",
        "sasl.password=hidden",
    ]


def test_a_tenants_login_is_printed_for_java(run):
    run.secrets.write("kafka/tenants/tenant1", "hidden")

    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    assert run("--tenant", "tenant1", "--java").stdout.splitlines() == [
        "security.protocol=SASL_PLAINTEXT",
        "bootstrap.servers=127.0.0.1:19092",
        "sasl.mechanism=SCRAM-SHA-512",
        f'sasl.jaas.config={module} required username="tenant1" password="hidden";',
    ]


def test_quotes_and_backslashes_of_a_password_reach_java(run, tmp_path, monkeypatch):
    (tmp_path / "login").write_text(LOGIN)
    monkeypatch.setenv("KAFKA_BROKER", "kafka.example:9094")
    monkeypatch.setenv("KAFKA_LOGIN", str(tmp_path / "login"))

    lines = run("--java").stdout.splitlines()

    # JAAS reads a"b\c, after the property file has been read.
    assert lines[-1].endswith(r'username="admin" password="a\\"b\\\\c";')
    assert lines[:2] == ["security.protocol=SASL_SSL", "bootstrap.servers=kafka.example:9094"]


def test_an_unknown_tenant_is_told_what_it_may_lack(run):
    refused = run("--tenant", "nobody")

    assert "no login to Kafka for the tenant nobody" in str(refused.exception)
