import json

import pytest
from airflow.providers.mongo.hooks.mongo import MongoHook
from pymongo.uri_parser import parse_uri

from mysimbdp import errors
from mysimbdp.agreements.load import Problem
from mysimbdp.orchestration import connections

CONNECTION = {
    "conn_type": "mongo",
    "host": "mongo.example",
    "port": 27018,
    "login": "tenant1",
    "password": "p@ss/w:rd?",
    "schema": "tenant1",
    "extra": {"authSource": "tenant1", "directConnection": True},
}


@pytest.fixture
def connect(monkeypatch):
    def connect(**changes):
        monkeypatch.setenv("AIRFLOW_CONN_PROBE", json.dumps(CONNECTION | changes))
        return MongoHook("probe")

    return connect


def test_a_script_gets_the_same_address_and_login_as_the_platform_uses(connect):
    parsed = parse_uri(connections.mongo_url(connect()))
    assert parsed["nodelist"] == [("mongo.example", 27018)]
    assert (parsed["username"], parsed["password"]) == ("tenant1", "p@ss/w:rd?")
    assert parsed["database"] == "tenant1"
    assert parsed["options"]["authSource"] == "tenant1"
    assert parsed["options"]["directConnection"] is True


@pytest.mark.parametrize("changes", [{"schema": ""}, {"extra": {}}, {"schema": "", "extra": {}}])
def test_an_address_without_database_or_options_is_whole_too(connect, changes):
    parsed = parse_uri(connections.mongo_url(connect(**changes)))
    assert parsed["nodelist"] == [("mongo.example", 27018)]


def test_a_missing_connection_is_named_with_what_to_do(parsing, tenant):
    parsing(tenant)
    with (
        pytest.raises(errors.ConfigurationError, match=r"connection mysimbdp_mongo does not exist"),
        connections.open_desk("tenant1", "taxi"),
    ):
        pass


def test_a_stopped_tenant_admits_nothing_but_finishes_what_was_admitted(
    parsing, renamed, monkeypatch
):
    parsing(renamed(problems=(Problem(file="f", key="k", expected="e", found="x"),)))
    for name in ("MYSIMBDP_MONGO", "MYSIMBDP_MONGO_TENANT1"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(CONNECTION))
    mail = {"conn_type": "smtp", "host": "mail.example", "port": 2525, "extra": {"disable_tls": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(mail))
    with pytest.raises(errors.TenantStoppedError), connections.open_desk("tenant1", "taxi"):
        pass
    with connections.open_desk("tenant1", "taxi", even_if_stopped=True) as desk:
        assert desk.pipeline.collection == "trips"
        assert (desk.coredms.name, desk.platform.name) == ("tenant1", "mysimbdp")
        assert (desk.mailer.host, desk.mailer.port, desk.mailer.starttls) == (
            "mail.example",
            2525,
            False,
        )


def test_a_withdrawn_tenant_is_unknown(parsing, tenant):
    parsing()
    with (
        pytest.raises(errors.TenantUnknownError),
        connections.open_desk("tenant1", "taxi", even_if_stopped=True),
    ):
        pass
