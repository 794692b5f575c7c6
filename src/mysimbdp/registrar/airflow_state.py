"""What Airflow has, and what of it belongs to tenants; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import attrs

from mysimbdp import naming

Permission = tuple[str, str]

#: What a tenant may do everywhere. Which DAGs it sees comes from each DAG, by its role: a global
#: "can_read on DAGs" would open all of them. Airflow cannot narrow pools, connections, variables,
#: assets or audit logs to one tenant, so they are absent.
TENANT_PERMISSIONS: frozenset[Permission] = frozenset(
    {
        ("can_create", "DAG Runs"),
        ("can_edit", "My Password"),
        ("can_edit", "My Profile"),
        ("can_read", "DAG Code"),
        ("can_read", "DAG Dependencies"),  # the graph of a DAG asks for it
        ("can_read", "DAG Runs"),
        ("can_read", "DAG Versions"),
        ("can_read", "DAG Warnings"),
        ("can_read", "HITL Detail"),  # the list of DAGs asks for it
        ("can_read", "My Password"),
        ("can_read", "My Profile"),
        ("can_read", "Plugins"),
        ("can_read", "Task Instances"),
        ("can_read", "Task Logs"),
        ("can_read", "Website"),
        ("can_read", "XComs"),
        ("menu_access", "DAGs"),
    }
)
_DAG_RESOURCES = ("DAG:", "DAG Run:")


@attrs.frozen(kw_only=True)
class State:
    """What Airflow has, by name: all of it, not only what is ours."""

    pools: Mapping[str, Mapping[str, Any]]
    roles: Mapping[str, frozenset[Permission]]
    users: Mapping[str, frozenset[str]]
    connections: Mapping[str, Mapping[str, Any]]


def find_leftovers(state: State, tenants: Collection[str]) -> list[str]:
    """Name the tenants of whom Airflow still has something although they are not in the tree."""
    return sorted(_owners(state) - set(tenants))


def _owners(state: State) -> set[str]:
    return (
        pool_owners(state)
        | role_owners(state)
        | user_owners(state)
        | _names_after(naming.mongo_connection, state.connections)
        | _names_after(naming.kafka_connection, state.connections)
    )


def pool_owners(state: State) -> set[str]:
    """Find our pools by what we write on them."""
    return {
        name
        for name, pool in state.pools.items()
        if pool.get("description") == pool_description(name)
    }


def role_owners(state: State) -> set[str]:
    """Find our roles; one of the same form that an operator made has other permissions."""
    return {
        tenant
        for tenant in _names_after(naming.role, state.roles)
        if state.roles[naming.role(tenant)] - own_permissions(state.roles[naming.role(tenant)], "")
        == TENANT_PERMISSIONS
    }


def user_owners(state: State) -> set[str]:
    """Find our users: those that have a tenant's role and no other."""
    return {name for name, roles in state.users.items() if roles == {naming.role(name)}}


def _names_after(make_name: Callable[[str], str], names: Iterable[str]) -> set[str]:
    prefix = make_name("")
    tails = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    return {tail for tail in tails if naming.is_tenant(tail)}


def own_permissions(permissions: frozenset[Permission], tenant: str) -> frozenset[Permission]:
    """Keep what Airflow itself wrote for the DAGs of a tenant (of every tenant, if empty)."""
    dags = tuple(
        prefix + (naming.dag_id(tenant, "") if tenant else "") for prefix in _DAG_RESOURCES
    )
    return frozenset(one for one in permissions if one[1].startswith(dags))


def pool_description(tenant: str) -> str:
    """Return what we write on a tenant's pool."""
    return f"Concurrent ingestions of {tenant}, as agreed. Kept by the registrar."
