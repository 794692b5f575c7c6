"""Compare what Airflow has with what a tenant needs; pure, the requests are only described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from mysimbdp import errors, naming
from mysimbdp.registrar import airflow_state, connections
from mysimbdp.registrar.changes import PLATFORM

POOLS_PATH = "/api/v2/pools"
CONNECTIONS_PATH = "/api/v2/connections"
ROLES_PATH = "/auth/fab/v1/roles"
USERS_PATH = "/auth/fab/v1/users"


class NameTakenError(errors.TerminalError):
    """A name that a tenant needs in Airflow belongs to something else."""


@attrs.frozen(kw_only=True)
class Request:
    """One change to ask of Airflow, and how to tell of it. The body may hold a password."""

    tenant: str
    change: str
    method: Literal["POST", "PATCH", "DELETE"]
    path: str
    body: Mapping[str, Any] | None = attrs.field(default=None, repr=False)


def plan_platform(state: airflow_state.State, wished: Iterable[Mapping[str, Any]]) -> list[Request]:
    """Make the platform's connections; those that an operator changed stay as they are."""
    requests = []
    for body in wished:
        shown = state.connections.get(body["connection_id"])
        if shown is None or not connections.was_changed_by_hand(shown):
            requests += _plan_connection(PLATFORM, shown, body)
    return requests


def plan_role(state: airflow_state.State, tenant: str) -> list[Request]:
    """Make or correct a tenant's role, which every DAG of the tenant names, a stopped one too."""
    name = naming.role(tenant)
    if name not in state.roles:
        body = _role_body(name, airflow_state.TENANT_PERMISSIONS)
        return [_creation(tenant, "role made", ROLES_PATH, body)]
    own = airflow_state.own_permissions(state.roles[name], tenant)
    if state.roles[name] == airflow_state.TENANT_PERMISSIONS | own:
        return []
    body = _role_body(name, airflow_state.TENANT_PERMISSIONS | own)
    return [_correction(tenant, "role corrected", f"{ROLES_PATH}/{name}", body)]


def plan_login(
    state: airflow_state.State, tenant: str, password: str, *, is_new: bool
) -> list[Request]:
    """Make and correct a tenant's role and user; a password that is not new is left alone.

    Raises:
        NameTakenError: the name is in use for somebody else.

    """
    return [*plan_role(state, tenant), *_plan_user(state, tenant, password, is_new=is_new)]


def plan_place(
    state: airflow_state.State, tenant: str, slots: int, connection: Mapping[str, Any]
) -> list[Request]:
    """Make and correct a tenant's pool and connection."""
    return [*_plan_pool(state, tenant, slots), *plan_connection(state, tenant, connection)]


def plan_connection(
    state: airflow_state.State, tenant: str, connection: Mapping[str, Any]
) -> list[Request]:
    """Make or correct one connection of a tenant."""
    return _plan_connection(tenant, state.connections.get(connection["connection_id"]), connection)


def plan_login_removal(state: airflow_state.State, tenant: str) -> list[Request]:
    """Take a withdrawn tenant's login and connections away."""
    requests = []
    if tenant in airflow_state.user_owners(state):
        path = f"{USERS_PATH}/{naming.login(tenant)}"
        requests.append(_removal(tenant, "Airflow login removed", path))
    requests += _plan_connection_removal(state, tenant, naming.mongo_connection(tenant))
    return [*requests, *plan_kafka_removal(state, tenant)]


def plan_kafka_removal(state: airflow_state.State, tenant: str) -> list[Request]:
    """Take away the connection with the Kafka login of a tenant that has no streams any more."""
    return _plan_connection_removal(state, tenant, naming.kafka_connection(tenant))


def plan_place_removal(state: airflow_state.State, tenant: str) -> list[Request]:
    """Remove a withdrawn tenant's pool and role, which its DAGs name as long as there are any."""
    requests = []
    if tenant in airflow_state.pool_owners(state):
        path = f"{POOLS_PATH}/{naming.pool(tenant)}"
        requests.append(_removal(tenant, "pool removed", path))
    if tenant in airflow_state.role_owners(state):
        path = f"{ROLES_PATH}/{naming.role(tenant)}"
        requests.append(_removal(tenant, "role removed", path))
    return requests


def _plan_user(
    state: airflow_state.State, tenant: str, password: str, *, is_new: bool
) -> list[Request]:
    name, role = naming.login(tenant), naming.role(tenant)
    secret = {"password": password}
    if name not in state.users:
        body = _user_body(name, role) | secret
        return [_creation(tenant, "Airflow login made", USERS_PATH, body)]
    held = state.users[name]
    if held and role not in held:
        raise NameTakenError(
            f"{tenant} cannot get its Airflow login: a user {name} with the roles "
            f"{sorted(held)} exists, expected none or only {role}. Rename that user or the tenant.",
            tenant=tenant,
        )
    path = f"{USERS_PATH}/{name}"
    requests = []
    if held != {role}:
        body = {"roles": [{"name": role}]}
        requests.append(_correction(tenant, "roles of the login corrected", path, body))
    if is_new:
        # Otherwise the password is left: the tenant may have set one of its own.
        requests.append(_correction(tenant, "password of the login set", path, secret))
    return requests


def _plan_pool(state: airflow_state.State, tenant: str, slots: int) -> list[Request]:
    name = naming.pool(tenant)
    wished = {
        "slots": slots,
        "description": airflow_state.pool_description(tenant),
        "include_deferred": False,
    }
    shown = state.pools.get(name)
    if shown is None:
        change = f"pool made with {slots} slots"
        return [_creation(tenant, change, POOLS_PATH, {"name": name, **wished})]
    if all(shown.get(key) == value for key, value in wished.items()):
        return []
    is_resized = shown["slots"] != slots
    change = (
        f"pool resized from {shown['slots']} to {slots} slots" if is_resized else "pool corrected"
    )
    return [_correction(tenant, change, f"{POOLS_PATH}/{name}", {"pool": name, **wished})]


def _plan_connection(
    tenant: str, shown: Mapping[str, Any] | None, wished: Mapping[str, Any]
) -> list[Request]:
    name = wished["connection_id"]
    if shown is None:
        return [_creation(tenant, f"connection {name} made", CONNECTIONS_PATH, wished)]
    if connections.is_as_wished(shown, wished):
        return []
    path = f"{CONNECTIONS_PATH}/{name}"
    return [_correction(tenant, f"connection {name} corrected", path, wished)]


def _plan_connection_removal(state: airflow_state.State, tenant: str, name: str) -> list[Request]:
    if name not in state.connections:
        return []
    return [_removal(tenant, f"connection {name} removed", f"{CONNECTIONS_PATH}/{name}")]


def _role_body(name: str, permissions: Iterable[airflow_state.Permission]) -> dict[str, Any]:
    pairs = [
        {"action": {"name": action}, "resource": {"name": resource}}
        for action, resource in sorted(permissions)
    ]
    return {"name": name, "actions": pairs}


def _user_body(name: str, role: str) -> dict[str, Any]:
    return {
        "username": name,
        # Airflow wants one, each its own; the tenant's contacts are in its agreement.
        "email": f"{name}@tenants.invalid",
        "first_name": name,
        "last_name": "(tenant)",
        "roles": [{"name": role}],
    }


def _creation(tenant: str, change: str, path: str, body: Mapping[str, Any]) -> Request:
    return Request(tenant=tenant, change=change, method="POST", path=path, body=body)


def _correction(tenant: str, change: str, path: str, body: Mapping[str, Any]) -> Request:
    return Request(tenant=tenant, change=change, method="PATCH", path=path, body=body)


def _removal(tenant: str, change: str, path: str) -> Request:
    return Request(tenant=tenant, change=change, method="DELETE", path=path)
