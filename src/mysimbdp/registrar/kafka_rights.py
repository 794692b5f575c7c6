"""Who may do what in Kafka. Everything that is not allowed here is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined] # it exports them without saying so
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from mysimbdp import messaging, naming

Rights = frozenset[AclBinding]

_ALL_NAMES = "*"
_PRINCIPAL = "User:"
#: Below its prefix. The topics are the platform's: a tenant neither makes nor changes them.
_TENANT_OPERATIONS = {
    ResourceType.TOPIC: (
        AclOperation.READ,
        AclOperation.WRITE,
        AclOperation.DESCRIBE,
        AclOperation.DESCRIBE_CONFIGS,
    ),
    ResourceType.GROUP: (AclOperation.READ, AclOperation.DESCRIBE),
    ResourceType.TRANSACTIONAL_ID: (AclOperation.WRITE, AclOperation.DESCRIBE),
}


def of_tenant(tenant: str) -> Rights:
    """Return what a tenant may do: use all below its own prefix."""
    prefix = naming.kafka_prefix(tenant)
    return frozenset(
        _allow(naming.login(tenant), kind, prefix, operation, ResourcePatternType.PREFIXED)
        for kind, operations in _TENANT_OPERATIONS.items()
        for operation in operations
    )


def of_platform(tenants: Iterable[str]) -> Rights:
    """Return what the platform's own login may do: its reports, and see how far tenants are."""
    topic, group = ResourceType.TOPIC, ResourceType.GROUP
    user = messaging.PLATFORM
    own_reports = (naming.topic(tenant, naming.OWN_REPORTS) for tenant in tenants)
    return frozenset(
        {
            _allow(user, topic, naming.METRICS_TOPIC, AclOperation.READ),
            _allow(user, topic, naming.METRICS_TOPIC, AclOperation.WRITE),
            *(_allow(user, topic, name, AclOperation.READ) for name in own_reports),
            _allow(
                user, group, naming.PLATFORM_GROUPS, AclOperation.READ, ResourcePatternType.PREFIXED
            ),
            _allow(user, topic, _ALL_NAMES, AclOperation.DESCRIBE),
            _allow(user, group, _ALL_NAMES, AclOperation.DESCRIBE),
        }
    )


def owners(rights: Iterable[AclBinding]) -> set[str]:
    """Find our tenants by what we allow them; a user that somebody else made has other rights."""
    found = ((right.principal.removeprefix(_PRINCIPAL), right) for right in rights)
    return {user for user, right in found if naming.is_tenant(user) and _is_own(user, right)}


def read(admin: AdminClient) -> Rights:
    """Read the rights of all users."""
    return frozenset(admin.describe_acls(_filter_of(None)).result())


def ensure(admin: AdminClient, seen: Rights, user: str, wished: Rights) -> list[str]:
    """Give a user these rights and no others; return what was changed, in words."""
    found = {right for right in seen if right.principal == _PRINCIPAL + user}
    missing, extra = wished - found, found - wished
    if missing:
        _await(admin.create_acls(sorted(missing, key=repr)))
    if extra:
        _await(admin.delete_acls([_only(right) for right in extra]))
    if not missing and not extra:
        return []
    return [f"Kafka rights of {user} {'corrected' if found else 'given'}"]


def take(admin: AdminClient, user: str) -> None:
    """Take all rights away, from sessions that are open too."""
    _await(admin.delete_acls([_filter_of(user)]))


def _is_own(user: str, right: AclBinding) -> bool:
    is_prefix = right.resource_pattern_type == ResourcePatternType.PREFIXED
    is_allowed = right.permission_type == AclPermissionType.ALLOW
    return is_prefix and is_allowed and right.name == naming.kafka_prefix(user)


def _allow(
    user: str,
    kind: ResourceType,
    name: str,
    operation: AclOperation,
    pattern: ResourcePatternType = ResourcePatternType.LITERAL,
) -> AclBinding:
    principal = _PRINCIPAL + user
    return AclBinding(kind, name, pattern, principal, "*", operation, AclPermissionType.ALLOW)


def _filter_of(user: str | None) -> AclBindingFilter:
    anything: Any = None
    principal = anything if user is None else _PRINCIPAL + user
    return AclBindingFilter(
        ResourceType.ANY,
        anything,
        ResourcePatternType.ANY,
        principal,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def _only(right: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        right.restype,
        right.name,
        right.resource_pattern_type,
        right.principal,
        right.host,
        right.operation,
        right.permission_type,
    )


def _await(futures: Mapping[Any, Future[Any]]) -> None:
    for future in futures.values():
        future.result()
