from pathlib import Path

import pytest

from mysimbdp import coredms, errors, settings
from mysimbdp.secrets import SecretStore


@pytest.fixture
def secrets(tmp_path):
    store = SecretStore(tmp_path)
    for name in ("registrar", "platform", "tenants/tenant1"):
        store.write(f"mongo/{name}", "p@ss/w:rd")
    return store


def places(mongo_url=None):
    return settings.Settings(
        home=Path("/home"),
        state=Path("/state"),
        mongo_url=mongo_url,
        mongo_port=27117,
        airflow_port=8080,
        smtp_port=1025,
        airflow_url="http://127.0.0.1:8080",
    )


def test_the_provider_logs_in_as_the_registrar(secrets):
    assert coredms.coredms_url(places(), secrets) == (
        "mongodb://registrar:p%40ss%2Fw%3Ard@127.0.0.1:27117/?directConnection=true&authSource=admin"
    )


def test_the_platform_logs_in_to_its_own_database(secrets):
    assert coredms.platform_url(places(), secrets) == (
        "mongodb://platform:p%40ss%2Fw%3Ard@127.0.0.1:27117/mysimbdp"
        "?directConnection=true&authSource=admin"
    )


def test_a_tenant_logs_in_to_its_own_database_by_its_own_users(secrets):
    assert coredms.coredms_url(places(), secrets, "tenant1") == (
        "mongodb://tenant1:p%40ss%2Fw%3Ard@127.0.0.1:27117/tenant1"
        "?directConnection=true&authSource=tenant1"
    )


@pytest.mark.parametrize(
    ("own", "tenant"),
    [
        (
            "mongodb://root:secret@db1:27017,db2:27018/admin?replicaSet=rs1&tls=true",
            (
                "mongodb://tenant1:p%40ss%2Fw%3Ard@db1:27017,db2:27018/tenant1"
                "?replicaSet=rs1&tls=true&authSource=tenant1"
            ),
        ),
        (
            "mongodb+srv://root:secret@cluster.example/?authSource=admin&authMechanism=SCRAM-SHA-1",
            "mongodb+srv://tenant1:p%40ss%2Fw%3Ard@cluster.example/tenant1?authSource=tenant1",
        ),
        (
            "mongodb://db",
            "mongodb://tenant1:p%40ss%2Fw%3Ard@db/tenant1?authSource=tenant1",
        ),
    ],
)
def test_a_mongodb_of_the_providers_own_keeps_its_hosts_and_options(secrets, own, tenant):
    assert coredms.coredms_url(places(own), secrets) == own
    assert coredms.coredms_url(places(own), secrets, "tenant1") == tenant


def test_an_address_is_told_without_its_login():
    assert coredms.mongo_address(places("mongodb://root:secret@db1,db2/")) == "db1,db2"
    assert coredms.mongo_address(places()) == "127.0.0.1:27117"


def test_a_wrong_address_is_refused_without_its_password(secrets):
    with pytest.raises(errors.ConfigurationError, match="MONGO_URL is not") as refused:
        coredms.mongo_address(places("postgres://root:secret@db/"))

    assert "secret" not in str(refused.value)
