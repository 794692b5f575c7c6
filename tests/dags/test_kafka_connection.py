import asyncio
import json

import pytest
from airflow.api_fastapi.core_api.datamodels.connections import ConnectionResponse

from mysimbdp import errors, naming
from mysimbdp.orchestration import kafka_connection
from mysimbdp.registrar import connections
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import from_environment

SECRET = "kept-from-everybody"


def read(connection_id):
    return kafka_connection.properties(connection_id)


def read_in_a_trigger(connection_id):
    return asyncio.run(kafka_connection.aproperties(connection_id))


both = pytest.mark.parametrize("read", [read, read_in_a_trigger])


@pytest.fixture
def made(tmp_path):
    """Give the connection of a tenant as the registrar makes it."""
    for folder in ("constraints", "tenant_pipelines"):
        (tmp_path / folder).mkdir()
    settings = from_environment({"MYSIMBDP_HOME": str(tmp_path), "MYSIMBDP_KAFKA_PORT": "4711"})
    secrets = SecretStore(settings.secrets)
    secrets.write("kafka/tenants/acme", SECRET)
    return connections.tenant_kafka(settings, secrets, "acme")


@pytest.fixture
def connect(monkeypatch):
    def connect(extra):
        monkeypatch.setenv("AIRFLOW_CONN_PROBE", json.dumps({"conn_type": "kafka", "extra": extra}))

    return connect


@both
def test_what_the_registrar_writes_is_read_as_client_properties(made, connect, read):
    connect(json.loads(made["extra"]))

    assert read("probe") == {
        "bootstrap.servers": "127.0.0.1:4711",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "acme",
        "sasl.password": SECRET,
    }


@both
def test_what_an_operator_typed_as_numbers_and_flags_is_text_for_the_client(connect, read):
    connect({"bootstrap.servers": "k:1", "enable.ssl": True, "socket.timeout.ms": 500})

    assert read("probe") == {
        "bootstrap.servers": "k:1",
        "enable.ssl": "true",
        "socket.timeout.ms": "500",
    }


@both
def test_a_missing_connection_is_named_with_what_to_do(read):
    name = naming.kafka_connection("nobody")
    with pytest.raises(errors.ConfigurationError, match=f"connection {name} does not exist"):
        read(name)


@both
def test_a_connection_without_a_server_is_refused(connect, read):
    connect({"security.protocol": "PLAINTEXT"})
    with pytest.raises(errors.ConfigurationError, match=r"expected bootstrap\.servers"):
        read("probe")


def test_airflow_shows_no_password_and_the_rest_as_the_seal_expects(made):
    shown = ConnectionResponse.model_validate(
        {"host": None, "login": None, "schema": None, "port": None, "password": None}
        | {"team_name": None}
        | made
    ).model_dump(by_alias=True)

    assert SECRET not in json.dumps(shown)
    assert connections.is_as_wished(shown, made)
