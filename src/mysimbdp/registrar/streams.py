"""The half of a pass that needs Kafka: logins, rights, quotas and topics of tenants with streams.

It comes last, so that all else is done when Kafka does not answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import attrs

from mysimbdp import errors, messaging, naming, registry
from mysimbdp.agreements.model import StreamLimits
from mysimbdp.pipelines.registration import Registration
from mysimbdp.registrar import airflow_plan, airflow_state, connections
from mysimbdp.registrar.airflow import Airflow
from mysimbdp.registrar.changes import PLATFORM
from mysimbdp.registrar.journal import Journal
from mysimbdp.registrar.kafka import Kafka
from mysimbdp.registrar.mongo import Coredms
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

_MATTER = "streams"
_PLATFORM_SECRET = f"kafka/{messaging.PLATFORM}"


@attrs.frozen
class Streams:
    """Makes Kafka equal to the committed files."""

    settings: Settings
    secrets: SecretStore
    coredms: Coredms
    airflow: Airflow
    kafka: Kafka
    journal: Journal

    def reconcile(
        self, committed: Sequence[registry.RegisteredTenant], state: airflow_state.State
    ) -> list[str]:
        """Do this half of a pass; return the tenants for whom it is done.

        Raises:
            TransientError: Kafka or Airflow does not answer.
            ConfigurationError: Kafka refuses the registrar itself.

        """
        self.kafka.observe()
        self._ensure_platform(committed, state)
        done = self._ensure_tenants(committed, state)
        self._withdraw({tenant.tenant for tenant in committed})
        return done

    def _ensure_platform(
        self, committed: Iterable[registry.RegisteredTenant], state: airflow_state.State
    ) -> None:
        tenants = [one.tenant for one in committed if self._has_streams(one)]
        password = self.secrets.ensure(_PLATFORM_SECRET)
        self.journal.record(PLATFORM, self.kafka.ensure_platform(password, tenants))
        wished = connections.platform_kafka(self.settings, self.secrets)
        self._send(airflow_plan.plan_platform(state, [wished]))

    def _has_streams(self, one: registry.RegisteredTenant) -> bool:
        if one.agreement is None:
            return self.kafka.has_login(one.tenant)
        return one.agreement.streams is not None

    def _ensure_tenants(
        self, committed: Iterable[registry.RegisteredTenant], state: airflow_state.State
    ) -> list[str]:
        done: list[str] = []
        for one in committed:
            if one.stopped or one.agreement is None or one.registration is None:
                # Whatever it has stays as it is until its files are put right.
                continue
            limits = one.agreement.streams
            with self.journal.refusals_of(one.tenant, _MATTER):
                if limits is None:
                    self._take_away(one.tenant, state)
                    continue
                refusals = self._ensure_tenant(one.tenant, limits, one.registration, state)
                done.append(one.tenant)
                if refusals:
                    raise errors.ConfigurationError(" ".join(refusals), tenant=one.tenant)
        return done

    def _ensure_tenant(
        self,
        tenant: str,
        limits: StreamLimits,
        registration: Registration,
        state: airflow_state.State,
    ) -> tuple[str, ...]:
        password = self.secrets.ensure(_secret(tenant))
        outcome = self.kafka.ensure_tenant(tenant, password, limits, registration.topics)
        self.journal.record(tenant, outcome.changes)
        wished = connections.tenant_kafka(self.settings, self.secrets, tenant)
        self._send(airflow_plan.plan_connection(state, tenant, wished))
        return outcome.refusals

    def _take_away(self, tenant: str, state: airflow_state.State) -> None:
        """Take the login of a tenant without streams any more; its topics stay."""
        if self.kafka.has_login(tenant) or tenant in self._secret_owners():
            self.journal.record(tenant, self.coredms.stop_streams(tenant))
            self._revoke(tenant)
        self._send(airflow_plan.plan_kafka_removal(state, tenant))

    def _withdraw(self, tenants: Collection[str]) -> None:
        left = {*self.kafka.find_leftovers(tenants), *self._secret_owners()}
        for tenant in sorted(left.difference(tenants)):
            with self.journal.refusals_of(tenant, _MATTER):
                self._revoke(tenant)

    def _revoke(self, tenant: str) -> None:
        self.journal.record(tenant, self.kafka.revoke(tenant))
        if tenant in self._secret_owners():
            self.secrets.forget(_secret(tenant))
            self.journal.record(tenant, ["Kafka secret forgotten"])

    def _secret_owners(self) -> set[str]:
        folder = self.secrets.folder / "kafka/tenants"
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        return {name for name in names if naming.is_tenant(name)}

    def _send(self, requests: Iterable[airflow_plan.Request]) -> None:
        for request in requests:
            self.airflow.send(request)
            self.journal.record(request.tenant, [request.change])


def _secret(tenant: str) -> str:
    return f"kafka/tenants/{naming.login(tenant)}"
