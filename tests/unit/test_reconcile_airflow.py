import json

import attrs
import pytest

from airflow_in_memory import AirflowInMemory, BrokenOffError
from mysimbdp.registrar import airflow_plan, airflow_state, connections
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import from_environment


@pytest.fixture
def settings(tmp_path):
    for folder in ("constraints", "tenant_pipelines"):
        (tmp_path / folder).mkdir()
    return from_environment({"MYSIMBDP_HOME": str(tmp_path)})


@pytest.fixture
def secrets(settings):
    store = SecretStore(settings.secrets)
    for server in ("mongo", "kafka"):
        for name in ("platform", "tenants/acme", "tenants/other"):
            store.ensure(f"{server}/{name}")
    return store


@pytest.fixture
def plan(settings, secrets):
    """Give a function that plans all that a tenant needs."""

    def make(state, tenant="acme", slots=2, *, is_new=False):
        connection = connections.tenant(settings, secrets, tenant)
        return [
            *airflow_plan.plan_login(state, tenant, "airflow-password", is_new=is_new),
            *airflow_plan.plan_place(state, tenant, slots, connection),
        ]

    return make


@pytest.fixture
def airflow():
    return AirflowInMemory()


def carry_out(airflow, requests):
    for request in requests:
        airflow.send(request)
    return [request.change for request in requests]


def test_a_new_tenant_gets_role_login_pool_and_connection(airflow, plan):
    carry_out(airflow, plan(airflow.observe(), slots=7))

    state = airflow.observe()
    assert state.users["acme"] == {"tenant_acme"}
    assert state.pools["acme"]["slots"] == 7
    assert state.pools["acme"]["include_deferred"] is False
    assert state.connections["mysimbdp_mongo_acme"]["login"] == "acme"
    assert plan(state, slots=7) == []


def test_a_tenants_role_opens_nothing_that_airflow_cannot_narrow_to_the_tenant(airflow, plan):
    carry_out(airflow, plan(airflow.observe()))

    readable = {
        what for action, what in airflow.kept["roles"]["tenant_acme"] if action == "can_read"
    }
    assert not readable & {"DAGs", "Pools", "Connections", "Variables", "Assets", "Audit Logs"}


def test_an_interruption_anywhere_is_finished_by_the_next_plan(plan):
    whole = AirflowInMemory()
    steps = len(carry_out(whole, plan(whole.observe())))
    for done in range(steps):
        airflow = AirflowInMemory(breaks_after=done)
        with pytest.raises(BrokenOffError):
            carry_out(airflow, plan(airflow.observe()))
        airflow.breaks_after = None
        carry_out(airflow, plan(airflow.observe()))

        assert airflow.kept == whole.kept
    assert steps == 4


def test_a_changed_agreement_resizes_the_pool_and_nothing_else(airflow, plan):
    carry_out(airflow, plan(airflow.observe(), slots=2))

    changes = carry_out(airflow, plan(airflow.observe(), slots=5))

    assert changes == ["pool resized from 2 to 5 slots"]
    assert airflow.kept["pools"]["acme"]["slots"] == 5


def test_a_role_keeps_the_tenants_dags_and_loses_what_it_must_not_have(airflow, plan):
    carry_out(airflow, plan(airflow.observe()))
    own = {("can_read", "DAG:acme.taxi"), ("can_create", "DAG Run:acme.taxi")}
    foreign = {("can_read", "DAG:other.taxi"), ("can_read", "Connections")}
    airflow.kept["roles"]["tenant_acme"] |= own | foreign

    changes = carry_out(airflow, plan(airflow.observe()))

    assert changes == ["role corrected"]
    assert airflow.kept["roles"]["tenant_acme"] == airflow_state.TENANT_PERMISSIONS | own


def test_a_password_that_the_tenant_chose_is_left_alone(airflow, plan):
    carry_out(airflow, plan(airflow.observe()))

    assert plan(airflow.observe()) == []
    changes = carry_out(airflow, plan(airflow.observe(), is_new=True))
    assert changes == ["password of the login set"]


def test_a_login_never_takes_over_somebody_elses_user(airflow, plan):
    airflow.kept["users"]["acme"] = frozenset({"Admin"})

    with pytest.raises(
        airflow_plan.NameTakenError, match=r"a user acme with the roles \['Admin'\]"
    ):
        plan(airflow.observe())


def test_no_password_is_shown_when_a_request_is_printed(airflow, secrets, plan):
    text = repr(plan(airflow.observe()))

    assert "airflow-password" not in text
    assert secrets.read("mongo/tenants/acme") not in text


def test_a_connection_with_a_stale_password_is_corrected(airflow, settings, secrets, plan):
    carry_out(airflow, plan(airflow.observe()))
    secrets.write("mongo/tenants/acme", "another")

    changes = carry_out(airflow, plan(airflow.observe()))

    assert changes == ["connection mysimbdp_mongo_acme corrected"]
    assert plan(airflow.observe()) == []


def test_a_tenants_connection_that_was_changed_by_hand_is_corrected(airflow, plan):
    carry_out(airflow, plan(airflow.observe()))
    airflow.kept["connections"]["mysimbdp_mongo_acme"]["host"] = "elsewhere"

    carry_out(airflow, plan(airflow.observe()))

    assert airflow.kept["connections"]["mysimbdp_mongo_acme"]["host"] == "127.0.0.1"


@pytest.fixture
def connect(airflow, settings, secrets):
    """Give a function that makes or corrects the connection with a tenant's Kafka login."""

    def make():
        wished = connections.tenant_kafka(settings, secrets, "acme")
        return carry_out(airflow, airflow_plan.plan_connection(airflow.observe(), "acme", wished))

    return make


def test_a_kafka_connection_holds_what_the_hooks_of_airflow_look_for(settings, secrets):
    body = connections.tenant_kafka(settings, secrets, "acme")

    assert body["connection_id"] == "mysimbdp_kafka_acme"
    assert json.loads(body["extra"]) == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "acme",
        "sasl.password": secrets.read("kafka/tenants/acme"),
    }


def test_a_kafka_connection_is_in_order_although_airflow_hides_its_password(connect):
    assert connect() == ["connection mysimbdp_kafka_acme made"]
    assert connect() == []


def test_a_kafka_connection_with_a_stale_password_or_changed_by_hand_is_corrected(
    airflow, secrets, connect
):
    connect()
    secrets.write("kafka/tenants/acme", "another")
    assert connect() == ["connection mysimbdp_kafka_acme corrected"]
    shown = airflow.kept["connections"]["mysimbdp_kafka_acme"]
    shown["extra"] = shown["extra"].replace("127.0.0.1", "elsewhere")
    assert connect() == ["connection mysimbdp_kafka_acme corrected"]
    assert connect() == []


def test_the_seal_of_a_connection_tells_nothing_of_a_password(settings, secrets):
    body = connections.tenant_kafka(settings, secrets, "acme")

    assert secrets.read("kafka/tenants/acme") not in body["description"]


def test_a_withdrawn_tenant_loses_its_kafka_connection_too(airflow, connect):
    connect()
    assert airflow_state.find_leftovers(airflow.observe(), set()) == ["acme"]

    carry_out(airflow, airflow_plan.plan_login_removal(airflow.observe(), "acme"))

    assert airflow_state.find_leftovers(airflow.observe(), set()) == []


def test_platform_connections_that_an_operator_changed_stay_as_they_are(airflow, settings, secrets):
    wished = connections.platform(settings, secrets)
    carry_out(airflow, airflow_plan.plan_platform(airflow.observe(), wished))
    airflow.kept["connections"]["smtp_default"]["host"] = "mail.provider.example"
    secrets.write("mongo/platform", "another")

    changes = carry_out(
        airflow,
        airflow_plan.plan_platform(airflow.observe(), connections.platform(settings, secrets)),
    )

    assert changes == ["connection mysimbdp_mongo corrected"]
    assert airflow.kept["connections"]["smtp_default"]["host"] == "mail.provider.example"


def test_an_empty_field_of_airflows_form_is_no_change_by_hand(airflow, settings, secrets):
    wished = connections.platform(settings, secrets)
    carry_out(airflow, airflow_plan.plan_platform(airflow.observe(), wished))
    airflow.kept["connections"]["fs_default"] |= {
        "host": "",
        "login": "",
        "schema": "",
        "port": None,
    }

    assert airflow_plan.plan_platform(airflow.observe(), wished) == []


def test_the_connection_of_several_hosts_keeps_them_all_and_the_options(secrets, settings):
    elsewhere = attrs.evolve(
        settings,
        mongo_url="mongodb://root:pw@a.example:27017,b.example:27018/?replicaSet=rs&tls=true",
    )

    body = connections.tenant(elsewhere, secrets, "acme")

    assert (body["host"], body["port"]) == ("a.example:27017,b.example:27018", None)
    assert body["login"] == "acme"
    assert body["schema"] == "acme"
    assert json.loads(body["extra"]) == {"authSource": "acme", "replicaSet": "rs", "tls": True}


def test_only_what_the_registrar_made_counts_as_left_over(airflow, plan):
    carry_out(airflow, plan(airflow.observe()))
    airflow.kept["pools"]["default_pool"] = {"name": "default_pool", "description": "Default pool"}
    airflow.kept["roles"]["tenant_watchers"] = frozenset({("can_read", "DAGs")})
    airflow.kept["users"]["anna"] = frozenset({"Viewer"})

    assert airflow_state.find_leftovers(airflow.observe(), {"acme"}) == []
    assert airflow_state.find_leftovers(airflow.observe(), {"other"}) == ["acme"]


@pytest.mark.parametrize("left", ["pools", "roles", "users", "connections"])
def test_a_half_removed_tenant_is_still_found_by_what_is_left(airflow, left, plan):
    carry_out(airflow, plan(airflow.observe()))
    for kind in airflow.kept:
        if kind != left:
            airflow.kept[kind].clear()

    assert airflow_state.find_leftovers(airflow.observe(), set()) == ["acme"]


def test_a_withdrawn_tenant_leaves_nothing_in_airflow(airflow, plan):
    carry_out(airflow, plan(airflow.observe()))
    carry_out(airflow, plan(airflow.observe(), "other"))
    airflow.kept["roles"]["tenant_acme"] |= {("can_read", "DAG:acme.taxi")}

    carry_out(airflow, airflow_plan.plan_login_removal(airflow.observe(), "acme"))
    assert "acme" not in airflow.kept["users"]
    carry_out(airflow, airflow_plan.plan_place_removal(airflow.observe(), "acme"))

    assert airflow_state.find_leftovers(airflow.observe(), {"other"}) == []
    assert [list(kind) for kind in airflow.kept.values()] == [
        ["other"],
        ["mysimbdp_mongo_other"],
        ["tenant_other"],
        ["other"],
    ]
