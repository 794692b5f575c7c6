import signal
import subprocess
import sys
import time

import attrs
import pytest
from pymongo import errors as mongo_errors

from airflow_in_memory import BrokenOffError
from mysimbdp import errors, naming
from mysimbdp.registrar import mongo, purge, reconcile
from mysimbdp.registrar.reconcile import Registrar
from mysimbdp.reporting import tenant_log
from registrar_world import KafkaAside, World


@pytest.fixture
def world(mongod, tmp_path, platform_database):
    made = World(mongod, tmp_path)
    yield made
    for client in made.clients:
        client.close()


def told(changes, tenant):
    return [change.change for change in changes if change.tenant == tenant]


def test_a_committed_tenant_can_log_in_to_its_own_database_and_no_other(world, tenant_name):
    first, second = tenant_name(), tenant_name()
    world.commit(first)
    world.commit(second)

    world.start().reconcile()

    world.connect(first)[first].rows.insert_one({"_id": 1})
    assert world.connect(first)[first].rows.find_one() == {"_id": 1}
    for foreign in (first, naming.PLATFORM_DATABASE, "admin"):
        with pytest.raises(mongo_errors.OperationFailure, match="not authorized"):
            world.connect(second)[foreign].rows.find_one()


def test_a_new_tenants_database_is_visible_and_its_rejects_are_indexed(
    world, mongo_client, tenant_name
):
    tenant = tenant_name()
    world.commit(tenant)

    world.start().reconcile()

    assert tenant in mongo_client.list_database_names()
    indexes = mongo_client[tenant].rejects.index_information()
    assert [("ingestion", 1), ("file", 1)] in [index["key"] for index in indexes.values()]
    reports = mongo_client[naming.PLATFORM_DATABASE].ingestions.index_information()
    assert len(reports) > 1


def test_a_second_pass_changes_nothing_nor_does_a_new_process(world, tenant_name):
    world.commit(tenant_name())
    registrar = world.start()

    assert registrar.reconcile() != []
    assert registrar.reconcile() == []
    assert world.start().reconcile() == []


def test_a_tenant_is_published_with_everything_in_place_and_parsed_at_once(world, tenant_name):
    tenant = tenant_name()
    world.commit(tenant, max_concurrent_ingestions=7)

    world.start().reconcile()

    (published,) = world.published()
    assert (published.tenant, published.stopped) == (tenant, False)
    assert world.airflow.kept["pools"][tenant]["slots"] == 7
    assert world.airflow.parses > 0
    assert (world.places.staging / tenant / "example").is_dir()


def test_the_first_of_many_new_tenants_do_not_wait_for_the_last(world, tenant_name, monkeypatch):
    monkeypatch.setattr(reconcile, "_PUBLISH_SECONDS", 0.0)
    first, last = sorted((tenant_name(), tenant_name()))
    world.commit(first)
    world.commit(last)
    registrar = world.start()
    world.airflow.breaks_after = 3 + 4 + 1

    with pytest.raises(BrokenOffError):
        registrar.reconcile()

    assert [one.tenant for one in world.published()] == [first]


def test_a_changed_agreement_resizes_the_pool(world, tenant_name):
    tenant = tenant_name()
    world.commit(tenant, max_concurrent_ingestions=2)
    registrar = world.start()
    registrar.reconcile()

    world.edit(tenant, max_concurrent_ingestions=5)

    assert told(registrar.reconcile(), tenant) == [
        "pool resized from 2 to 5 slots",
        "live with its new agreement",
    ]
    (published,) = world.published()
    assert published.agreement.service_agreement.max_concurrent_ingestions == 5


def test_a_killed_registrar_is_finished_by_the_next_one_wherever_it_was(world, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)
    breaks = 0
    while True:
        world.airflow.breaks_after = 1
        try:
            world.start().reconcile()
        except BrokenOffError:
            breaks += 1
            # The last thing is a connection to Kafka, for which files do not wait.
            assert bool(world.published()) == (breaks == 7)
        else:
            break
    world.airflow.breaks_after = None

    assert world.start().reconcile() == []
    assert [one.tenant for one in world.published()] == [tenant]
    assert world.airflow.kept["users"] == {tenant: frozenset({naming.role(tenant)})}
    assert breaks == 7


def test_a_killed_withdrawal_is_finished_by_the_next_registrar(world, mongo_client, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)
    world.start().reconcile()
    mongo_client[tenant].rows.insert_one({"_id": 1})
    world.agreement(tenant).unlink()
    breaks = 0
    while True:
        world.airflow.breaks_after = 1
        try:
            world.start().reconcile()
        except BrokenOffError:
            breaks += 1
            assert world.published() == ()
        else:
            break

    assert breaks == 3
    assert world.start().reconcile() == []
    assert not world.airflow.kept["users"]
    assert not world.airflow.kept["pools"]
    assert not world.airflow.kept["roles"]
    assert f"mysimbdp_mongo_{tenant}" not in world.airflow.kept["connections"]
    assert mongo_client[tenant].command("usersInfo")["users"] == []
    with pytest.raises(errors.SecretMissingError):
        world.secrets.read(f"mongo/tenants/{tenant}")
    assert mongo_client[tenant].rows.find_one() == {"_id": 1}
    assert (world.places.staging / tenant / "example").is_dir()


def test_a_withdrawn_tenant_is_shut_out_even_where_it_is_logged_in(world, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)
    world.start().reconcile()
    client = world.connect(tenant)
    client[tenant].rows.insert_one({"_id": 1})

    world.agreement(tenant).unlink()
    world.start().reconcile()

    with pytest.raises(mongo_errors.OperationFailure):
        client[tenant].rows.insert_one({"_id": 2})


def test_pool_and_role_stay_while_airflow_still_has_dags_that_name_them(world, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)
    registrar = world.start()
    registrar.reconcile()
    world.airflow.dags.add(tenant)
    world.agreement(tenant).unlink()
    registrar.reconcile()
    assert naming.pool(tenant) in world.airflow.kept["pools"]

    world.airflow.dags.clear()

    assert told(registrar.reconcile(), tenant) == ["pool removed", "role removed"]


def test_a_password_that_does_not_fit_is_set_again(world, mongo_client, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)
    registrar = world.start()
    registrar.reconcile()
    mongo_client[tenant].command("updateUser", tenant, pwd="somebody's")

    assert told(registrar.reconcile(), tenant) == [f"password of the MongoDB login {tenant} set"]
    assert world.connect(tenant)[tenant].rows.find_one() is None


def test_rights_that_a_tenant_must_not_have_are_taken_back(world, mongo_client, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)
    registrar = world.start()
    registrar.reconcile()
    mongo_client[tenant].command(
        "grantRolesToUser", tenant, roles=[{"role": "readAnyDatabase", "db": "admin"}]
    )

    registrar.reconcile()

    with pytest.raises(mongo_errors.OperationFailure):
        world.connect(tenant)[naming.PLATFORM_DATABASE].ingestions.find_one()


def test_lost_secrets_are_made_anew_on_both_servers(world, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)
    registrar = world.start()
    registrar.reconcile()
    world.secrets.forget(f"mongo/tenants/{tenant}")
    world.secrets.forget(f"airflow/tenants/{tenant}")

    registrar.reconcile()

    assert world.connect(tenant)[tenant].rows.find_one() is None
    assert world.airflow.passwords[tenant] == world.secrets.read(f"airflow/tenants/{tenant}")
    assert registrar.reconcile() == []


def test_logins_of_others_in_the_same_mongodb_are_never_touched(world, mongo_client, tenant_name):
    stranger = tenant_name()
    mongo_client[stranger].command("createUser", stranger, pwd="theirs", roles=["readWrite"])
    world.commit(tenant_name())

    world.start().reconcile()

    (user,) = mongo_client[stranger].command("usersInfo")["users"]
    assert user["user"] == stranger


def test_an_invalid_tenant_is_stopped_with_its_problems_and_keeps_everything(world, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)
    registrar = world.start()
    registrar.reconcile()
    before = {kind: dict(named) for kind, named in world.airflow.kept.items()}

    world.edit(tenant, max_concurrent_ingestions="many")
    changes = registrar.reconcile()

    (change,) = told(changes, tenant)
    assert change.startswith(f"stopped: constraints/{tenant}.yaml: ")
    (published,) = world.published()
    assert published.stopped
    assert published.agreement.service_agreement.max_concurrent_ingestions == 2
    assert world.airflow.kept == before
    assert world.connect(tenant)[tenant].rows.find_one() is None


def test_a_tenant_that_spoils_its_own_database_holds_up_nobody_else(world, tenant_name):
    spoiler, other = sorted((tenant_name(), tenant_name()))
    world.commit(spoiler)
    world.start().reconcile()
    with world.connect(spoiler) as client:
        client[spoiler].drop_collection("rejects")
        client[spoiler].create_collection("rejects", viewOn="rows", pipeline=[])
    world.commit(other)
    registrar = world.start()

    registrar.reconcile()

    assert [one.tenant for one in world.published()] == [spoiler, other]
    assert registrar.reconcile() == []


def test_a_name_that_is_taken_in_airflow_stops_that_tenant_only(world, tenant_name):
    taken, other = sorted((tenant_name(), tenant_name()))
    world.airflow.kept["users"][taken] = frozenset({"Admin"})
    world.commit(taken)
    world.commit(other)

    world.start().reconcile()

    assert [one.tenant for one in world.published()] == [other]
    assert world.airflow.kept["users"][taken] == {"Admin"}


def test_a_tree_that_is_not_there_withdraws_nobody(world, tenant_name):
    tenant = tenant_name()
    world.commit(tenant)
    registrar = world.start()
    registrar.reconcile()
    world.places.constraints.rename(world.places.home / "moved")

    with pytest.raises(errors.ConfigurationError, match="nothing is changed"):
        registrar.reconcile()

    assert [one.tenant for one in world.published()] == [tenant]


def test_stopping_and_withdrawing_do_not_wait_for_mongodb(world, free_port, tenant_name):
    gone, broken = tenant_name(), tenant_name()
    world.commit(gone)
    world.commit(broken)
    world.start().reconcile()
    world.agreement(gone).unlink()
    world.edit(broken, max_memory="none")
    unreachable = attrs.evolve(world.places, mongo_port=free_port())
    coredms = mongo.Coredms(unreachable, world.secrets, patience_seconds=0.2)

    with pytest.raises(errors.ServiceUnavailableError, match="does not answer"):
        Registrar(unreachable, world.secrets, coredms, world.airflow, KafkaAside()).reconcile()

    (published,) = world.published()
    assert (published.tenant, published.stopped) == (broken, True)
    coredms.close()


def test_purging_deletes_the_data_and_keeps_the_reports(
    world, mongo_client, platform_database, tenant_name
):
    tenant, other = tenant_name(), tenant_name()
    world.commit(tenant)
    world.commit(other)
    registrar = world.start()
    registrar.reconcile()
    mongo_client[tenant].rows.insert_one({"_id": 1})
    mongo_client[other].rows.insert_one({"_id": 1})
    platform_database.ingestions.insert_one({"_id": "i1", "tenant": tenant})
    platform_database.ledger.insert_one({"_id": "a", "tenant": tenant, "key": 1})
    platform_database.ledger.insert_one({"_id": "b", "tenant": other, "key": 1})
    (world.places.staging / tenant / "example" / "rows.csv").write_text("a\n1\n")
    log = tenant_log.in_folder(world.places.logs, tenant)
    log.write("INFO", "example", "i1", "loaded")
    with pytest.raises(errors.UsageError, match="not withdrawn yet, nothing is deleted"):
        purge.purge(world.places, world.secrets, registrar.coredms, registrar.kafka, tenant)
    world.agreement(tenant).unlink()
    registrar.reconcile()

    for _ in range(2):
        purge.purge(world.places, world.secrets, registrar.coredms, registrar.kafka, tenant)

    assert tenant not in mongo_client.list_database_names()
    assert not (world.places.staging / tenant).exists()
    assert not log.path.exists()
    assert [entry["tenant"] for entry in platform_database.ledger.find()] == [other]
    assert platform_database.ingestions.find_one()["_id"] == "i1"
    assert mongo_client[other].rows.find_one() == {"_id": 1}


def test_the_process_says_once_what_it_waits_for_and_ends_in_order(world, free_port, tmp_path):
    world.secrets.write("airflow/registrar", "any")
    log = tmp_path / "registrar.log"
    environment = {
        "MYSIMBDP_HOME": str(world.places.home),
        "MYSIMBDP_STATE": str(world.places.state),
        "MYSIMBDP_MONGO_PORT": str(world.places.mongo_port),
        "MYSIMBDP_AIRFLOW_PORT": str(free_port()),
    }
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mysimbdp.registrar"], env=environment, stdout=output
        )
    try:
        deadline = time.monotonic() + 60
        while "does not answer" not in log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(2.5)  # long enough for a second try
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()

    (line,) = log.read_text().splitlines()
    assert 'event="cannot reconcile, tries again"' in line
