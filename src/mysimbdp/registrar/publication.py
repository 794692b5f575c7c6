"""Decide what the registry says of each tenant; pure, no server is asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import attrs

from mysimbdp import registry
from mysimbdp.registrar.changes import Change


def decide(
    tree: Iterable[registry.RegisteredTenant],
    published: Iterable[registry.RegisteredTenant],
    ready: Collection[str],
    streaming: Collection[str] = (),
) -> tuple[registry.RegisteredTenant, ...]:
    """Return what to publish: the tree, as far as everything that a tenant needs exists.

    Args:
        tree: the tenants as committed, without the withdrawn ones.
        published: what the registry says now.
        ready: the tenants for whom everything exists that their DAGs name, but for Kafka.
        streaming: those for whom everything exists that their stream apps need in Kafka. The apps
            of the others stay as they are published, and new ones wait.

    """
    before = {tenant.tenant: tenant for tenant in published}
    chosen = (
        _choose(
            now,
            before.get(now.tenant),
            is_ready=now.tenant in ready,
            has_kafka=now.tenant in streaming,
        )
        for now in tree
    )
    return tuple(sorted((one for one in chosen if one is not None), key=lambda one: one.tenant))


def describe(
    published: Iterable[registry.RegisteredTenant], chosen: Iterable[registry.RegisteredTenant]
) -> list[Change]:
    """Tell in words how the registry changes, a line a tenant."""
    before = {tenant.tenant: tenant for tenant in published}
    after = {tenant.tenant: tenant for tenant in chosen}
    return [
        Change(name, _difference(before.get(name), after.get(name)))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _choose(
    now: registry.RegisteredTenant,
    before: registry.RegisteredTenant | None,
    *,
    is_ready: bool,
    has_kafka: bool,
) -> registry.RegisteredTenant | None:
    if now.stopped and before is not None and was_live(before):
        return attrs.evolve(before, problems=now.problems)
    if not is_ready:
        return before
    return now if has_kafka else _hold_streams(now, before)


def _hold_streams(
    now: registry.RegisteredTenant, before: registry.RegisteredTenant | None
) -> registry.RegisteredTenant | None:
    """Keep the stream apps as they are published; a tenant that would have nothing else waits."""
    if now.registration is None or not now.registration.streams:
        return now
    published = before.registration.streams if before and before.registration else {}
    held = {name: published[name] for name in now.registration.streams if name in published}
    if not held and not now.registration.batch:
        return before
    return attrs.evolve(now, registration=now.registration.model_copy(update={"streams": held}))


def was_live(tenant: registry.RegisteredTenant) -> bool:
    """Tell whether the tenant ingests, or did until its files became invalid."""
    return tenant.agreement is not None and tenant.registration is not None


def _difference(
    before: registry.RegisteredTenant | None, after: registry.RegisteredTenant | None
) -> str:
    if after is None:
        return "withdrawn: admission stops"
    if after.stopped:
        return f"stopped: {after.problems[0]}"
    return "live" if before is None or before.stopped else "live with its new agreement"
