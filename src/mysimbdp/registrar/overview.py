"""How each tenant stands: what is committed, and what the registrar has made of it."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from mysimbdp import naming, registry
from mysimbdp.agreements.model import Agreement, StreamLimits
from mysimbdp.registrar import publication
from mysimbdp.settings import Settings

TenantState = Literal["live", "stopped", "registering", "withdrawn"]


@attrs.frozen(kw_only=True)
class Standing:
    """One tenant as the operator sees it; what it has agreed on is None if nobody can tell."""

    tenant: str
    plan: str | None
    state: TenantState
    problems: tuple[str, ...]
    subdirectories: tuple[str, ...]
    streams: tuple[str, ...]
    topics: tuple[str, ...]
    slots: int | None
    limits: dict[str, Any] | None


def survey(settings: Settings) -> tuple[Standing, ...]:
    """Look at the committed files, the registry and the staging areas, without any server."""
    committed = {one.tenant: one for one in registry.load_tree(settings.home)}
    published = {one.tenant: one for one in registry.read(settings.registry)}
    names = committed.keys() | published.keys() | _staged_tenants(settings)
    return tuple(_stand(name, committed.get(name), published.get(name)) for name in sorted(names))


def _stand(
    name: str,
    committed: registry.RegisteredTenant | None,
    published: registry.RegisteredTenant | None,
) -> Standing:
    is_withdrawn = committed is None or committed.withdrawn
    problems = () if committed is None or is_withdrawn else tuple(map(str, committed.problems))
    shown = published if committed is None or committed.agreement is None else committed
    agreement = shown.agreement if shown else None
    registration = shown.registration if shown else None
    return Standing(
        tenant=name,
        plan=agreement.plan if agreement else None,
        state=_state(published, is_withdrawn=is_withdrawn, is_sound=not problems),
        problems=problems,
        subdirectories=tuple(sorted(registration.batch)) if registration else (),
        streams=tuple(sorted(registration.streams)) if registration else (),
        topics=tuple(sorted(registration.topics)) if registration else (),
        slots=agreement.service_agreement.max_concurrent_ingestions if agreement else None,
        limits=_limits(agreement) if agreement else None,
    )


def _state(
    published: registry.RegisteredTenant | None, *, is_withdrawn: bool, is_sound: bool
) -> TenantState:
    if is_withdrawn:
        return "withdrawn"
    if not is_sound:
        return "stopped"
    is_live = published is not None and publication.was_live(published) and not published.stopped
    return "live" if is_live else "registering"


def _limits(agreement: Agreement) -> dict[str, Any]:
    service = agreement.service_agreement
    limits = {
        "file_types": [str(kind) for kind in agreement.data_constraints.file_types],
        "max_file_size": str(agreement.data_constraints.max_file_size),
        "max_throughput": str(service.max_throughput),
        "storage_space_staging": str(service.storage_space_staging),
        "max_memory": str(service.max_memory),
    }
    return limits | _stream_limits(agreement.streams)


def _stream_limits(streams: StreamLimits | None) -> dict[str, Any]:
    if streams is None:
        return {}
    return {
        "max_publish_rate": str(streams.max_publish_rate),
        "max_consume_rate": str(streams.max_consume_rate),
        "max_instances": streams.max_instances,
        "retention": str(streams.retention),
    }


def _staged_tenants(settings: Settings) -> set[str]:
    if not settings.staging.is_dir():
        return set()
    return {path.name for path in settings.staging.iterdir() if naming.is_tenant(path.name)}
