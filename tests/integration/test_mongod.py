import stat

import attrs
import pymongo
import pytest
from pymongo import errors as mongo_errors

from mysimbdp import coredms, errors
from mysimbdp.local_stack import replica_set


def test_without_a_login_nothing_can_be_read(mongod):
    with (
        pymongo.MongoClient("127.0.0.1", mongod.port, directConnection=True) as client,
        pytest.raises(mongo_errors.OperationFailure),
    ):
        client.mysimbdp.ingestions.find_one()


def test_the_platform_login_writes_its_own_database_only(mongod, platform_database):
    with pymongo.MongoClient(mongod.url("platform")) as client:
        client.get_default_database().ingestions.insert_one({"_id": "i1"})
        with pytest.raises(mongo_errors.OperationFailure):
            client.somebody.rows.insert_one({})

    assert platform_database.ingestions.find_one() == {"_id": "i1"}


def test_a_tenant_reads_its_own_database_and_not_anothers(mongod, tenant_name):
    first, second = tenant_name(), tenant_name()
    mongod.add_tenant(first)
    with pymongo.MongoClient(mongod.add_tenant(second)) as client:
        client.get_default_database().rows.insert_one({"_id": 1})

        assert client.get_default_database().name == second
        assert client[second].rows.find_one() == {"_id": 1}
        with pytest.raises(mongo_errors.OperationFailure):
            client[first].rows.find_one()


def test_transactions_work(mongod, mongo_client, tenant_name):
    rows = mongo_client[tenant_name()].rows
    with mongo_client.start_session() as session, session.start_transaction():
        rows.insert_one({"_id": 1}, session=session)

    assert rows.count_documents({}) == 1


def test_setting_up_twice_changes_nothing(mongod):
    before = mongod.url()

    replica_set.make_ready(mongod.settings, mongod.secrets)

    assert mongod.url() == before
    with pymongo.MongoClient(mongod.url("platform")) as client:
        client.mysimbdp.ingestions.find_one()


def test_a_mongodb_of_the_providers_own_gets_the_platforms_login(mongod):
    own = attrs.evolve(mongod.settings, mongo_url=mongod.url(), mongo_port=1)

    replica_set.make_ready(own, mongod.secrets)

    with pymongo.MongoClient(coredms.platform_url(own, mongod.secrets)) as client:
        assert client.get_default_database().list_collection_names() is not None


def test_a_mongodb_that_does_not_answer_is_told_by_its_address_only(mongod, free_port, monkeypatch):
    monkeypatch.setattr(replica_set, "READY_SECONDS", 0.2)
    port = free_port()
    own = attrs.evolve(mongod.settings, mongo_url=f"mongodb://root:hidden@127.0.0.1:{port}/")

    with pytest.raises(errors.StackError, match=f"MongoDB at 127.0.0.1:{port} does not") as refused:
        replica_set.make_ready(own, mongod.secrets)

    assert "hidden" not in str(refused.value)


def test_acknowledged_documents_survive_a_kill(mongod, mongo_client, tenant_name):
    rows = mongo_client[tenant_name()].rows
    rows.with_options(write_concern=pymongo.WriteConcern(w="majority", j=True)).insert_one(
        {"_id": 1}
    )

    mongod.kill()
    assert not replica_set.answers(mongod.settings)
    mongod.start()

    assert rows.count_documents({}) == 1


def test_lost_passwords_are_told_in_one_sentence(mongod):
    kept = mongod.secrets.read("mongo/registrar")
    mongod.secrets.write("mongo/registrar", "another")
    try:
        with pytest.raises(errors.StackError, match=r"another password .*secrets/ of that time"):
            replica_set.make_ready(mongod.settings, mongod.secrets)
    finally:
        mongod.secrets.write("mongo/registrar", kept)


def test_the_key_file_is_for_its_owner_only(mongod):
    mode = (mongod.secrets.folder / "mongo" / "keyfile").stat().st_mode

    assert stat.S_IMODE(mode) == 0o600


def test_the_data_may_move_to_another_port(mongod, free_port, tmp_path):
    own = type(mongod)(mongod.binary, tmp_path)
    try:
        own.stop()
        own.settings = attrs.evolve(own.settings, mongo_port=free_port())

        own.start()

        assert replica_set.is_primary(own.settings)
    finally:
        own.kill()
