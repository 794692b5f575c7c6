"""Delete what a withdrawn tenant left behind. The reports stay: they are the provider's record."""

from __future__ import annotations

import shutil
import time

from mysimbdp import errors, naming, registry
from mysimbdp.registrar.kafka import Kafka
from mysimbdp.registrar.mongo import Coredms
from mysimbdp.reporting import tenant_log
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

PATIENCE_SECONDS = 90.0

_LOOK_SECONDS = 0.5
_STREAM_LOGS = "streams"
_EXPORTS = "exports"


def purge(
    settings: Settings, secrets: SecretStore, coredms: Coredms, kafka: Kafka, tenant: str
) -> None:
    """Delete a withdrawn tenant's database, topics, files, secrets, logs and ledger entries.

    It may be interrupted and run again.

    Raises:
        UsageError: the tenant is not withdrawn yet, so that something may still write.
        TransientError: a server does not answer, or a consumer does not leave its group.

    """
    if not is_withdrawn(settings, coredms, kafka, tenant):
        raise errors.UsageError(
            f"{tenant} is not withdrawn yet, nothing is deleted: its agreement, its place in the "
            "registry and its logins in MongoDB and Kafka must be gone first. "
            "See whether the registrar runs (mysimbdp status), then run this again.",
            tenant=tenant,
        )
    kafka.purge(tenant)
    coredms.purge(tenant)
    for folder in (settings.staging / tenant, settings.state / _EXPORTS / tenant):
        if folder.exists():
            shutil.rmtree(folder)
    for name in ("mongo", "kafka", "airflow"):
        secrets.forget(f"{name}/tenants/{naming.login(tenant)}")
    tenant_log.in_folder(settings.logs, tenant).path.unlink(missing_ok=True)
    for log in (settings.logs / _STREAM_LOGS).glob(f"{naming.stream_app(tenant, '*')}.log*"):
        log.unlink(missing_ok=True)


def await_withdrawal(settings: Settings, coredms: Coredms, kafka: Kafka, tenant: str) -> None:
    """Wait until the registrar has withdrawn a tenant, for as long as that takes it at most."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_withdrawn(settings, coredms, kafka, tenant) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def is_withdrawn(settings: Settings, coredms: Coredms, kafka: Kafka, tenant: str) -> bool:
    """Tell whether nothing of the tenant can write any more."""
    if (settings.constraints / f"{tenant}.yaml").exists():
        return False
    if any(one.tenant == tenant for one in registry.read(settings.registry)):
        return False
    coredms.observe()
    kafka.observe()
    return not coredms.has_login(tenant) and not kafka.has_login(tenant)
