import attrs
import pymongo
import pytest
from pymongo import errors as mongo_errors

from airflow_in_memory import AirflowInMemory, BrokenOffError
from mysimbdp import errors, naming, registry
from mysimbdp.agreements.model import FileType
from mysimbdp.registrar import mongo, purge, skeleton
from mysimbdp.registrar.reconcile import Registrar
from mysimbdp.reporting import tenant_log
from mysimbdp.secrets import SecretStore


@pytest.fixture
def places(mongod, tmp_path):
    """Give a tree and a state of their own, on the session's mongod."""
    for folder in ("constraints", "tenant_pipelines"):
        (tmp_path / folder).mkdir()
    for name in ("mongo/registrar", "mongo/platform"):
        SecretStore(tmp_path / "var" / "secrets").write(name, mongod.secrets.read(name))
    return attrs.evolve(mongod.settings, home=tmp_path, state=tmp_path / "var")


@pytest.fixture
def secrets(places):
    return SecretStore(places.secrets)


@pytest.fixture
def airflow():
    return AirflowInMemory()


@pytest.fixture
def start(places, secrets, airflow, platform_database):
    """Give a function that starts a registrar process, which knows nothing yet."""
    started = []

    def make():
        started.append(mongo.Coredms(places, secrets))
        return Registrar(places, secrets, started[-1], airflow)

    yield make
    for client in started:
        client.close()


@pytest.fixture
def commit(places):
    def add(tenant, **values):
        skeleton.add(places.home, tenant, [FileType.CSV], f"ops@{tenant}.example")
        edit(tenant, **values)

    def edit(tenant, **values):
        path = places.constraints / f"{tenant}.yaml"
        lines = path.read_text().splitlines()
        for key, value in values.items():
            lines = [f"  {key}: {value}" if f" {key}:" in line else line for line in lines]
        path.write_text("\n".join(lines) + "\n")

    add.edit = edit
    return add


@pytest.fixture
def connect(places, secrets):
    """Give a function that logs in as a tenant, with the password that the registrar keeps."""
    clients = []

    def make(tenant):
        password = secrets.read(f"mongo/tenants/{tenant}")
        client = pymongo.MongoClient(
            "127.0.0.1",
            places.mongo_port,
            username=tenant,
            password=password,
            authSource=tenant,
            directConnection=True,
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def told(changes, tenant):
    return [change.change for change in changes if change.tenant == tenant]


def test_a_committed_tenant_can_log_in_to_its_own_database_and_no_other(
    start, commit, connect, tenant_name
):
    first, second = tenant_name(), tenant_name()
    commit(first)
    commit(second)

    start().reconcile()

    connect(first)[first].rows.insert_one({"_id": 1})
    assert connect(first)[first].rows.find_one() == {"_id": 1}
    for foreign in (first, naming.PLATFORM_DATABASE, "admin"):
        with pytest.raises(mongo_errors.OperationFailure, match="not authorized"):
            connect(second)[foreign].rows.find_one()


def test_a_new_tenants_database_is_visible_and_its_rejects_are_indexed(
    start, commit, mongo_client, tenant_name
):
    tenant = tenant_name()
    commit(tenant)

    start().reconcile()

    assert tenant in mongo_client.list_database_names()
    indexes = mongo_client[tenant].rejects.index_information()
    assert [("ingestion", 1), ("file", 1)] in [index["key"] for index in indexes.values()]
    reports = mongo_client[naming.PLATFORM_DATABASE].ingestions.index_information()
    assert len(reports) > 1


def test_a_second_pass_changes_nothing_nor_does_a_new_process(start, commit, airflow, tenant_name):
    commit(tenant_name())
    registrar = start()

    assert registrar.reconcile() != []
    assert registrar.reconcile() == []
    assert start().reconcile() == []


def test_a_tenant_is_published_with_everything_in_place_and_parsed_at_once(
    start, commit, places, airflow, tenant_name
):
    tenant = tenant_name()
    commit(tenant, max_concurrent_ingestions=7)

    start().reconcile()

    (published,) = registry.read(places.registry)
    assert (published.tenant, published.stopped) == (tenant, False)
    assert airflow.kept["pools"][tenant]["slots"] == 7
    assert airflow.parses > 0
    assert (places.staging / tenant / "example").is_dir()


def test_a_changed_agreement_resizes_the_pool(start, commit, places, airflow, tenant_name):
    tenant = tenant_name()
    commit(tenant, max_concurrent_ingestions=2)
    registrar = start()
    registrar.reconcile()

    commit.edit(tenant, max_concurrent_ingestions=5)

    assert told(registrar.reconcile(), tenant) == [
        "pool resized from 2 to 5 slots",
        "live with its new agreement",
    ]
    (published,) = registry.read(places.registry)
    assert published.agreement.service_agreement.max_concurrent_ingestions == 5


def test_a_killed_registrar_is_finished_by_the_next_one_wherever_it_was(
    start, commit, places, airflow, tenant_name
):
    tenant = tenant_name()
    commit(tenant)
    breaks = 0
    while True:
        airflow.breaks_after = 1
        try:
            start().reconcile()
        except BrokenOffError:
            breaks += 1
            assert registry.read(places.registry) == ()
        else:
            break
    airflow.breaks_after = None

    assert start().reconcile() == []
    assert [one.tenant for one in registry.read(places.registry)] == [tenant]
    assert airflow.kept["users"] == {tenant: frozenset({naming.role(tenant)})}
    assert breaks == 6


def test_a_killed_withdrawal_is_finished_by_the_next_registrar(
    start, commit, places, secrets, airflow, mongo_client, tenant_name
):
    tenant = tenant_name()
    commit(tenant)
    start().reconcile()
    mongo_client[tenant].rows.insert_one({"_id": 1})
    (places.constraints / f"{tenant}.yaml").unlink()
    breaks = 0
    while True:
        airflow.breaks_after = 1
        try:
            start().reconcile()
        except BrokenOffError:
            breaks += 1
            assert registry.read(places.registry) == ()
        else:
            break

    assert breaks == 3
    assert start().reconcile() == []
    assert not airflow.kept["users"]
    assert not airflow.kept["pools"]
    assert not airflow.kept["roles"]
    assert f"mysimbdp_mongo_{tenant}" not in airflow.kept["connections"]
    assert mongo_client[tenant].command("usersInfo")["users"] == []
    with pytest.raises(errors.SecretMissingError):
        secrets.read(f"mongo/tenants/{tenant}")
    assert mongo_client[tenant].rows.find_one() == {"_id": 1}
    assert (places.staging / tenant / "example").is_dir()


def test_a_withdrawn_tenant_is_shut_out_even_where_it_is_logged_in(
    start, commit, connect, places, tenant_name
):
    tenant = tenant_name()
    commit(tenant)
    start().reconcile()
    client = connect(tenant)
    client[tenant].rows.insert_one({"_id": 1})

    (places.constraints / f"{tenant}.yaml").unlink()
    start().reconcile()

    with pytest.raises(mongo_errors.OperationFailure):
        client[tenant].rows.insert_one({"_id": 2})


def test_pool_and_role_stay_while_airflow_still_has_dags_that_name_them(
    start, commit, places, airflow, tenant_name
):
    tenant = tenant_name()
    commit(tenant)
    registrar = start()
    registrar.reconcile()
    airflow.dags.add(tenant)
    (places.constraints / f"{tenant}.yaml").unlink()
    registrar.reconcile()
    assert naming.pool(tenant) in airflow.kept["pools"]

    airflow.dags.clear()

    assert told(registrar.reconcile(), tenant) == ["pool removed", "role removed"]


def test_a_password_that_does_not_fit_is_set_again(
    start, commit, connect, mongo_client, tenant_name
):
    tenant = tenant_name()
    commit(tenant)
    registrar = start()
    registrar.reconcile()
    mongo_client[tenant].command("updateUser", tenant, pwd="somebody's")

    assert told(registrar.reconcile(), tenant) == [f"password of the MongoDB login {tenant} set"]
    assert connect(tenant)[tenant].rows.find_one() is None


def test_rights_that_a_tenant_must_not_have_are_taken_back(
    start, commit, connect, mongo_client, tenant_name
):
    tenant = tenant_name()
    commit(tenant)
    registrar = start()
    registrar.reconcile()
    mongo_client[tenant].command(
        "grantRolesToUser", tenant, roles=[{"role": "readAnyDatabase", "db": "admin"}]
    )

    registrar.reconcile()

    with pytest.raises(mongo_errors.OperationFailure):
        connect(tenant)[naming.PLATFORM_DATABASE].ingestions.find_one()


def test_lost_secrets_are_made_anew_on_both_servers(
    start, commit, connect, secrets, airflow, tenant_name
):
    tenant = tenant_name()
    commit(tenant)
    registrar = start()
    registrar.reconcile()
    secrets.forget(f"mongo/tenants/{tenant}")
    secrets.forget(f"airflow/tenants/{tenant}")

    registrar.reconcile()

    assert connect(tenant)[tenant].rows.find_one() is None
    assert airflow.passwords[tenant] == secrets.read(f"airflow/tenants/{tenant}")
    assert registrar.reconcile() == []


def test_logins_of_others_in_the_same_mongodb_are_never_touched(
    start, commit, mongo_client, tenant_name
):
    stranger = tenant_name()
    mongo_client[stranger].command("createUser", stranger, pwd="theirs", roles=["readWrite"])
    commit(tenant_name())

    start().reconcile()

    (user,) = mongo_client[stranger].command("usersInfo")["users"]
    assert user["user"] == stranger


def test_an_invalid_tenant_is_stopped_with_its_problems_and_keeps_everything(
    start, commit, connect, places, airflow, tenant_name
):
    tenant = tenant_name()
    commit(tenant)
    registrar = start()
    registrar.reconcile()
    before = {kind: dict(named) for kind, named in airflow.kept.items()}

    commit.edit(tenant, max_concurrent_ingestions="many")
    changes = registrar.reconcile()

    (change,) = told(changes, tenant)
    assert change.startswith(f"stopped: constraints/{tenant}.yaml: ")
    (published,) = registry.read(places.registry)
    assert published.stopped
    assert published.agreement.service_agreement.max_concurrent_ingestions == 2
    assert airflow.kept == before
    assert connect(tenant)[tenant].rows.find_one() is None


def test_a_tenant_that_spoils_its_own_database_holds_up_nobody_else(
    start, commit, places, connect, tenant_name
):
    spoiler, other = sorted((tenant_name(), tenant_name()))
    commit(spoiler)
    start().reconcile()
    with connect(spoiler) as client:
        client[spoiler].drop_collection("rejects")
        client[spoiler].create_collection("rejects", viewOn="rows", pipeline=[])
    commit(other)
    registrar = start()

    registrar.reconcile()

    assert [one.tenant for one in registry.read(places.registry)] == [spoiler, other]
    assert registrar.reconcile() == []


def test_a_name_that_is_taken_in_airflow_stops_that_tenant_only(
    start, commit, places, airflow, tenant_name
):
    taken, other = sorted((tenant_name(), tenant_name()))
    airflow.kept["users"][taken] = frozenset({"Admin"})
    commit(taken)
    commit(other)

    start().reconcile()

    assert [one.tenant for one in registry.read(places.registry)] == [other]
    assert airflow.kept["users"][taken] == {"Admin"}


def test_a_tree_that_is_not_there_withdraws_nobody(start, commit, places, airflow, tenant_name):
    tenant = tenant_name()
    commit(tenant)
    registrar = start()
    registrar.reconcile()
    places.constraints.rename(places.home / "moved")

    with pytest.raises(errors.ConfigurationError, match="nothing is changed"):
        registrar.reconcile()

    assert [one.tenant for one in registry.read(places.registry)] == [tenant]


def test_stopping_and_withdrawing_do_not_wait_for_mongodb(
    start, commit, places, secrets, airflow, free_port, tenant_name
):
    gone, broken = tenant_name(), tenant_name()
    commit(gone)
    commit(broken)
    start().reconcile()
    (places.constraints / f"{gone}.yaml").unlink()
    commit.edit(broken, max_memory="none")
    unreachable = attrs.evolve(places, mongo_port=free_port())
    coredms = mongo.Coredms(unreachable, secrets, patience_seconds=0.2)

    with pytest.raises(errors.ServiceUnavailableError, match="does not answer"):
        Registrar(unreachable, secrets, coredms, airflow).reconcile()

    (published,) = registry.read(places.registry)
    assert (published.tenant, published.stopped) == (broken, True)
    coredms.close()


def test_purging_deletes_the_data_and_keeps_the_reports(
    start, commit, places, secrets, mongo_client, platform_database, tenant_name
):
    tenant, other = tenant_name(), tenant_name()
    commit(tenant)
    commit(other)
    registrar = start()
    registrar.reconcile()
    mongo_client[tenant].rows.insert_one({"_id": 1})
    mongo_client[other].rows.insert_one({"_id": 1})
    platform_database.ingestions.insert_one({"_id": "i1", "tenant": tenant})
    platform_database.ledger.insert_one({"_id": "a", "tenant": tenant, "key": 1})
    platform_database.ledger.insert_one({"_id": "b", "tenant": other, "key": 1})
    (places.staging / tenant / "example" / "rows.csv").write_text("a\n1\n")
    log = tenant_log.in_folder(places.logs, tenant)
    log.write("INFO", "example", "i1", "loaded")
    with pytest.raises(errors.UsageError, match="not withdrawn yet, nothing is deleted"):
        purge.purge(places, secrets, registrar.coredms, tenant)
    (places.constraints / f"{tenant}.yaml").unlink()
    registrar.reconcile()

    for _ in range(2):
        purge.purge(places, secrets, registrar.coredms, tenant)

    assert tenant not in mongo_client.list_database_names()
    assert not (places.staging / tenant).exists()
    assert not log.path.exists()
    assert [entry["tenant"] for entry in platform_database.ledger.find()] == [other]
    assert platform_database.ingestions.find_one()["_id"] == "i1"
    assert mongo_client[other].rows.find_one() == {"_id": 1}
