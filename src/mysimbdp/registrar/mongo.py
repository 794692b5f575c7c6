"""Make databases, users and indexes in coredms, with the administrator's login."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pymongo
from pymongo import errors as mongo_errors

from mysimbdp import coredms, errors, naming
from mysimbdp.ledger import Ledger
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

Client: TypeAlias = pymongo.MongoClient[dict[str, Any]]
User: TypeAlias = Mapping[str, Any]

_MECHANISM = "SCRAM-SHA-256"
#: Codes of MongoDB for a login without the right, and for a wrong password.
_LOGIN_CODES = frozenset({13, 18})
#: Marks the users that the registrar made, in a MongoDB that may have others.
_MARK = {"keptBy": "mysimbdp registrar"}

#: Where the wishes, states and positions of stream apps are.
_STREAM_COLLECTIONS = ("streams", "checkpoints")
_REJECTS_INDEX = [("ingestion", 1), ("file", 1)]


class Coredms:
    """The MongoDB of the deployment. Remembers what it has verified, so that looking is cheap."""

    def __init__(
        self, settings: Settings, secrets: SecretStore, patience_seconds: float = 5.0
    ) -> None:
        self._address = coredms.mongo_address(settings)
        self._client: Client = pymongo.MongoClient(
            coredms.registrar_url(settings, secrets),
            serverSelectionTimeoutMS=int(patience_seconds * 1000),
        )
        self._ledger = Ledger(self._client[naming.PLATFORM_DATABASE])
        self._users: dict[str, User] = {}
        self._databases: set[str] = set()
        self._indexed: set[str] = set()
        self._proven: set[tuple[str, str]] = set()

    def observe(self) -> None:
        """Read which users and databases there are.

        Raises:
            ServiceUnavailableError: MongoDB does not answer.
            ConfigurationError: MongoDB refuses the administrator's login.

        """
        with self._translated():
            found = self._client[coredms.ADMIN_DATABASE]["system.users"].find()
            self._users = {user["_id"]: user for user in found}
            self._databases = set(self._client.list_database_names())
        self._indexed &= self._databases

    def ensure_platform(self, password: str) -> list[str]:
        """Make the platform's login and indexes; return what was made, in words."""
        roles = [{"role": "readWrite", "db": naming.PLATFORM_DATABASE}]
        with self._translated():
            changed = self._ensure_user(coredms.ADMIN_DATABASE, coredms.PLATFORM, password, roles)
            database = naming.PLATFORM_DATABASE
            if database not in self._indexed:
                if database not in self._databases:
                    changed.append(f"MongoDB database {database} made")
                self._ledger.ensure_indexes()
                self._indexed.add(database)
        return changed

    def ensure_tenant(self, tenant: str, password: str) -> list[str]:
        """Make a tenant's database and its login there; return what was made, in words."""
        database = naming.database(tenant)
        roles = [{"role": "readWrite", "db": database}]
        with self._translated():
            changed = self._ensure_user(database, naming.login(tenant), password, roles)
            if database not in self._indexed:
                changed += self._ensure_rejects(database)
                self._indexed.add(database)
        return changed

    def find_leftovers(self, tenants: set[str]) -> list[str]:
        """Name the tenants with a login of ours although they are not in the tree."""
        return sorted(self._owners() - tenants)

    def has_login(self, tenant: str) -> bool:
        """Tell whether a tenant can log in, as last observed."""
        return tenant in self._owners()

    def revoke(self, tenant: str) -> list[str]:
        """Drop a tenant's login and end its sessions; its data stays."""
        if not self.has_login(tenant):
            return []
        database, name = naming.database(tenant), naming.login(tenant)
        with self._translated():
            # Without rights first: a session that opens while others are ended can do nothing.
            self._client[database].command("updateUser", name, roles=[])
            session = {"user": name, "db": database}
            self._client[coredms.ADMIN_DATABASE].command("killAllSessions", [session])
            self._client[database].command("dropUser", name)
        del self._users[_user_id(tenant)]
        return ["MongoDB login revoked"]

    def stop_streams(self, tenant: str) -> list[str]:
        """Note that none of a tenant's stream apps shall run any more."""
        wish = {
            "wish.state": "stopped",
            "wish.by": coredms.REGISTRAR,
            "wish.at": datetime.now(UTC),
        }
        with self._translated():
            apps = self._client[naming.PLATFORM_DATABASE]["streams"]
            found = apps.update_many({"tenant": tenant, "wish.state": "running"}, {"$set": wish})
        return ["stream apps stopped"] if found.modified_count else []

    def purge(self, tenant: str) -> None:
        """Delete a tenant's database, its entries in the ledger and what its stream apps left.

        The reports stay.
        """
        platform = self._client[naming.PLATFORM_DATABASE]
        with self._translated():
            self._client.drop_database(naming.database(tenant))
            self._ledger.contents.delete_many({"tenant": tenant})
            for name in _STREAM_COLLECTIONS:
                platform[name].delete_many({"tenant": tenant})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _owners(self) -> set[str]:
        return {
            user["db"]
            for user in self._users.values()
            if user.get("customData") == _MARK and user["_id"] == _user_id(user["db"])
        }

    def _ensure_user(
        self, database: str, name: str, password: str, roles: list[dict[str, str]]
    ) -> list[str]:
        known = self._users.get(f"{database}.{name}")
        wished: dict[str, Any] = {"roles": roles, "customData": _MARK}
        if known is None:
            self._client[database].command("createUser", name, pwd=password, **wished)
            return [f"MongoDB login {name} made"]
        changed = []
        if not self._is_password(known, password):
            self._client[database].command("updateUser", name, pwd=password)
            changed.append(f"password of the MongoDB login {name} set")
        if any(known.get(key) != value for key, value in wished.items()):
            self._client[database].command("updateUser", name, **wished)
            changed.append(f"rights of the MongoDB login {name} corrected")
        return changed

    def _is_password(self, user: User, password: str) -> bool:
        """Tell whether a user's password is this one, from what the server keeps of it."""
        kept = user.get("credentials", {}).get(_MECHANISM)
        if kept is None:
            return False
        proof = (kept["storedKey"], password)
        if proof not in self._proven and _stored_key(kept, password) == kept["storedKey"]:
            self._proven.add(proof)
        return proof in self._proven

    def _ensure_rejects(self, database: str) -> list[str]:
        """Make the reject store, and by it the database, which MongoDB shows only with one."""
        rejects = self._client[database][naming.REJECTS_COLLECTION]
        rejects.create_index(_REJECTS_INDEX)
        return [] if database in self._databases else [f"MongoDB database {database} made"]

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except mongo_errors.OperationFailure as error:
            reason = (error.details or {}).get("errmsg")
            hint = (
                " Check the administrator's login in MONGO_URL or in the secret mongo/registrar."
                if error.code in _LOGIN_CODES
                else ""
            )
            raise errors.ConfigurationError(
                f"MongoDB at {self._address} refuses: {reason}.{hint}", code=error.code
            ) from error
        except mongo_errors.PyMongoError as error:
            raise errors.ServiceUnavailableError(
                f"MongoDB at {self._address} does not answer ({type(error).__name__}); "
                "see whether it runs (mysimbdp status)."
            ) from error


def _user_id(tenant: str) -> str:
    return f"{naming.database(tenant)}.{naming.login(tenant)}"


def _stored_key(kept: Mapping[str, Any], password: str) -> str:
    """Compute what a server keeps of a password (RFC 5802); our passwords are plain ASCII."""
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), b64decode(kept["salt"]), kept["iterationCount"]
    )
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return b64encode(hashlib.sha256(client_key).digest()).decode()
