import functools
import json
import shutil
import time

import httpx
import pymongo
import pytest
from pymongo import errors as mongo_errors

from mysimbdp import registry

#: What issue and README promise for a committed change.
PROMISED_SECONDS = 60
OWN_DAGS = {
    *("tenant1.taxi", "tenant1.weather"),
    *("tenant1.weather.stream", "tenant1.weather-archive.stream", "tenant1.weather-slow.stream"),
}


def await_truth(condition, seconds=PROMISED_SECONDS):
    """Return the first true value of `condition`, and fail when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.5)
    return value


@pytest.fixture
def airflow(stack):
    """Give a function that logs in to Airflow as somebody."""
    clients = []

    def log_in(user, password):
        client = httpx.Client(base_url=stack.settings.airflow_url, timeout=30)
        clients.append(client)
        answer = client.post("/auth/token", json={"username": user, "password": password})
        if answer.status_code == httpx.codes.CREATED:
            client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client

    yield log_in
    for client in clients:
        client.close()


@pytest.fixture
def admin(stack, airflow):
    return airflow("admin", stack.secrets.read("airflow/admin"))


@pytest.fixture
def as_tenant(stack, airflow):
    def log_in(tenant):
        return airflow(tenant, stack.secrets.read(f"airflow/tenants/{tenant}"))

    return log_in


def states(stack):
    listed = json.loads(stack.run("tenant", "list", "--json").stdout)
    return {one["tenant"]: one["state"] for one in listed}


def dag_ids(client):
    answer = client.get("/api/v2/dags", params={"limit": 100})
    return {dag["dag_id"] for dag in answer.json().get("dags", ())}


@pytest.fixture
def live(stack, admin):
    """Wait until the sample tenants are live."""

    def all_there():
        return {"tenant1.taxi", "tenant1.weather", "tenant2.cars"} <= dag_ids(admin)

    await_truth(all_there, seconds=120)


@pytest.fixture
def newcomer(stack, live):
    """Commit a tenant; purge it after the test."""
    assert stack.run("tenant", "add", "newcomer", "--contact", "ops@new.example").returncode == 0
    yield "newcomer"
    stack.run("tenant", "remove", "newcomer", "--purge", "--yes")
    shutil.rmtree(stack.settings.tenant_pipelines / "newcomer")


def mongo(stack, tenant):
    return pymongo.MongoClient(stack.run("coredms-url", "--tenant", tenant).stdout.strip())


def test_a_tenant_sees_its_own_dags_and_nothing_that_all_tenants_share(live, as_tenant):
    client = as_tenant("tenant1")

    await_truth(lambda: dag_ids(client) >= OWN_DAGS)
    assert dag_ids(client) == OWN_DAGS
    assert client.get("/api/v2/dags/tenant2.cars").status_code == 403
    assert client.get("/api/v2/dags/tenant2.taxi.stream").status_code == 403
    assert client.post("/api/v2/dags/alerting/dagRuns", json={}).status_code == 403
    assert client.get("/api/v2/dags/tenant2.cars/dagRuns").status_code == 403
    assert client.post("/api/v2/dags/tenant2.cars/dagRuns", json={}).status_code == 403
    for shared in ("connections", "pools", "variables", "config", "eventLogs", "assets"):
        assert client.get(f"/api/v2/{shared}").status_code == 403, shared
    for shared in ("users", "roles"):
        assert client.get(f"/auth/fab/v1/{shared}").status_code == 403, shared


def test_the_pages_of_its_own_dags_open_for_a_tenant(live, as_tenant):
    client = as_tenant("tenant1")
    await_truth(functools.partial(dag_ids, client))

    for page in (
        "/ui/dags",
        "/ui/structure/structure_data?dag_id=tenant1.taxi",
        "/ui/grid/structure/tenant1.taxi",
        "/api/v2/dags/tenant1.taxi/details",
        "/api/v2/dags/tenant1.taxi/dagRuns",
        "/api/v2/dags/tenant1.taxi/dagRuns/~/taskInstances",
        "/api/v2/dagSources/tenant1.taxi",
    ):
        assert client.get(page).status_code == 200, page


def test_a_tenants_login_is_refused_on_another_tenants_database(live, stack):
    with mongo(stack, "tenant1") as first, mongo(stack, "tenant2") as second:
        first.tenant1.acceptance.insert_one({"_id": "registrar"})
        with pytest.raises(mongo_errors.OperationFailure):
            second.tenant1.acceptance.find_one()
        with pytest.raises(mongo_errors.OperationFailure):
            second.mysimbdp.ingestions.find_one()
        first.tenant1.acceptance.drop()


def test_the_connections_of_platform_and_tenants_are_there_for_operators(live, admin):
    found = {
        one["connection_id"]: one
        for one in admin.get("/api/v2/connections", params={"limit": 100}).json()["connections"]
    }

    assert {"mysimbdp_mongo", "mysimbdp_mongo_tenant1", "fs_default", "smtp_default"} <= set(found)
    assert {"mysimbdp_kafka", "mysimbdp_kafka_tenant1"} <= set(found)
    assert json.loads(found["mysimbdp_mongo_tenant1"]["extra"])["authSource"] == "tenant1"


def test_a_committed_tenant_is_live_within_a_minute_without_a_restart(
    stack, newcomer, admin, as_tenant
):
    await_truth(lambda: states(stack)[newcomer] == "live")
    await_truth(lambda: f"{newcomer}.example" in dag_ids(admin))

    assert admin.get(f"/api/v2/pools/{newcomer}").json()["slots"] == 2
    assert dag_ids(as_tenant(newcomer)) == {f"{newcomer}.example"}
    assert (stack.settings.staging / newcomer / "example").is_dir()
    with mongo(stack, newcomer) as client:
        assert client[newcomer].rows.find_one() is None


def test_a_changed_agreement_resizes_the_pool_of_the_running_platform(stack, newcomer, admin):
    agreement = stack.settings.constraints / f"{newcomer}.yaml"
    await_truth(lambda: states(stack)[newcomer] == "live")

    text = agreement.read_text()
    agreement.write_text(
        text.replace("max_concurrent_ingestions: 2", "max_concurrent_ingestions: 9")
    )

    await_truth(lambda: admin.get(f"/api/v2/pools/{newcomer}").json()["slots"] == 9)


def test_an_invalid_agreement_stops_that_tenant_only(stack, newcomer):
    agreement = stack.settings.constraints / f"{newcomer}.yaml"
    await_truth(lambda: states(stack)[newcomer] == "live")
    text = agreement.read_text()

    agreement.write_text("plan: gold\n")

    def stopped():
        published = registry.read(stack.settings.registry)
        return {one.tenant for one in published if one.stopped}

    assert await_truth(stopped) == {newcomer}
    agreement.write_text(text)
    await_truth(lambda: states(stack)[newcomer] == "live")


def test_a_withdrawn_tenant_is_shut_out_and_its_data_stays_until_it_is_purged(
    stack, newcomer, admin, airflow
):
    await_truth(lambda: states(stack)[newcomer] == "live")
    await_truth(lambda: f"{newcomer}.example" in dag_ids(admin))
    password = stack.secrets.read(f"airflow/tenants/{newcomer}")
    with mongo(stack, newcomer) as client:
        client[newcomer].rows.insert_one({"_id": 1})
        assert stack.run("tenant", "remove", newcomer, "--yes").returncode == 0

        def is_refused():
            try:
                client[newcomer].rows.find_one()
            except mongo_errors.OperationFailure:
                return True
            return False

        await_truth(is_refused)
    await_truth(lambda: "Authorization" not in airflow(newcomer, password).headers)
    assert states(stack)[newcomer] == "withdrawn"
    with pymongo.MongoClient(stack.run("coredms-url").stdout.strip()) as provider:
        assert provider[newcomer].rows.find_one() == {"_id": 1}
        await_truth(lambda: f"{newcomer}.example" not in dag_ids(admin), seconds=120)
        await_truth(lambda: admin.get(f"/api/v2/pools/{newcomer}").status_code == 404, seconds=120)

        done = stack.run("tenant", "remove", newcomer, "--purge", "--yes")

        assert done.returncode == 0, done.stderr
        assert newcomer not in provider.list_database_names()
    assert not (stack.settings.staging / newcomer).exists()
