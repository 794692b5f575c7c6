"""The first steps in coredms: a replica set of one, and the two logins of the platform."""

from __future__ import annotations

import time
from typing import Any, TypeAlias

import pymongo
from pymongo import errors as mongo_errors

from mysimbdp import coredms, errors, naming
from mysimbdp.local_stack import mongod
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

READY_SECONDS = 30.0

_PROBE_SECONDS = 1.0
_POLL_SECONDS = 0.05
_UNAUTHORIZED = 13
_ALREADY_INITIALIZED = 23
_USER_EXISTS = 51003

Client: TypeAlias = pymongo.MongoClient[dict[str, Any]]


def make_ready(settings: Settings, secrets: SecretStore) -> None:
    """Make the replica set and the platform's logins, if missing, and wait until it takes writes.

    Raises:
        StackError: coredms does not get ready, or was set up with other passwords than ours.

    """
    try:
        if settings.mongo_url is None:
            _make_replica_set(settings, secrets)
        with _connect(coredms.registrar_url(settings, secrets), READY_SECONDS) as client:
            _ensure_platform_login(client, secrets)
    except mongo_errors.ConnectionFailure:
        raise errors.StackError(
            f"MongoDB at {coredms.mongo_address(settings)} does not answer. "
            "Start it, or correct MONGO_URL."
        ) from None
    except mongo_errors.PyMongoError as error:
        raise errors.StackError(
            f"MongoDB at {coredms.mongo_address(settings)} refuses our set-up: {error}"
        ) from error


def is_primary(settings: Settings) -> bool:
    """Tell whether the embedded mongod takes writes."""
    with _connect_locally(settings) as local:
        try:
            return bool(local.admin.command("hello")["isWritablePrimary"])
        except mongo_errors.ConnectionFailure:
            return False


def answers(settings: Settings) -> bool:
    """Tell whether coredms answers at all, be it set up or not."""
    url = settings.mongo_url
    with _connect(url, _PROBE_SECONDS) if url else _connect_locally(settings) as client:
        try:
            client.admin.command("hello")
        except mongo_errors.ConnectionFailure:
            return False
        return True


def _make_replica_set(settings: Settings, secrets: SecretStore) -> None:
    secrets.ensure("mongo/registrar")
    if _knows_registrar(settings, secrets):
        _adopt_port(settings, secrets)
        _await_primary(settings)
        return
    with _connect_locally(settings) as local:
        # Without any user, a connection from this machine may do these two things.
        _initiate(local, settings)
        _await_primary(settings)
        _add_registrar(local, settings, secrets)


def _knows_registrar(settings: Settings, secrets: SecretStore) -> bool:
    with _connect(coredms.registrar_url(settings, secrets), READY_SECONDS) as client:
        try:
            client.admin.command("ping")
        except mongo_errors.OperationFailure:
            return False
        return True


def _initiate(local: Client, settings: Settings) -> None:
    members = [{"_id": 0, "host": coredms.mongo_address(settings)}]
    try:
        local.admin.command("replSetInitiate", {"_id": mongod.REPLICA_SET, "members": members})
    except mongo_errors.OperationFailure as error:
        if error.code == _UNAUTHORIZED:
            raise _foreign_passwords(settings) from None
        if error.code != _ALREADY_INITIALIZED:
            raise


def _add_registrar(local: Client, settings: Settings, secrets: SecretStore) -> None:
    password = secrets.read("mongo/registrar")
    try:
        local.admin.command("createUser", coredms.REGISTRAR, pwd=password, roles=["root"])
    except mongo_errors.OperationFailure as error:
        if error.code in {_UNAUTHORIZED, _USER_EXISTS}:
            raise _foreign_passwords(settings) from None
        raise


def _foreign_passwords(settings: Settings) -> errors.StackError:
    return errors.StackError(
        f"The database in {settings.state / 'mongo'} was set up with another password than the "
        f"one in {settings.secrets / 'mongo' / 'registrar'}. Put the folder secrets/ of that time "
        "back, or move both folders away to start with an empty database."
    )


def _adopt_port(settings: Settings, secrets: SecretStore) -> None:
    """Tell the replica set of its new address when the port was changed between two starts."""
    with _connect(coredms.registrar_url(settings, secrets), READY_SECONDS) as client:
        config = client.admin.command("replSetGetConfig")["config"]
        member = config["members"][0]
        if member["host"] == coredms.mongo_address(settings):
            return
        member["host"] = coredms.mongo_address(settings)
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)


def _await_primary(settings: Settings) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not is_primary(settings):
        if time.monotonic() > deadline:
            raise errors.StackError(
                f"MongoDB at {coredms.mongo_address(settings)} takes no writes after "
                f"{READY_SECONDS:.0f} s (log: {mongod.log_file(settings)})."
            )
        time.sleep(_POLL_SECONDS)


def _ensure_platform_login(client: Client, secrets: SecretStore) -> None:
    rights: dict[str, Any] = {
        "pwd": secrets.ensure("mongo/platform"),
        "roles": [{"role": "readWrite", "db": naming.PLATFORM_DATABASE}],
    }
    try:
        client.admin.command({"createUser": coredms.PLATFORM, **rights})
    except mongo_errors.OperationFailure as error:
        if error.code != _USER_EXISTS:
            raise
        client.admin.command({"updateUser": coredms.PLATFORM, **rights})


def _connect(url: str, patience_seconds: float) -> Client:
    return pymongo.MongoClient(url, serverSelectionTimeoutMS=int(patience_seconds * 1000))


def _connect_locally(settings: Settings) -> Client:
    address = coredms.mongo_address(settings)
    return _connect(f"mongodb://{address}/?directConnection=true", _PROBE_SECONDS)
