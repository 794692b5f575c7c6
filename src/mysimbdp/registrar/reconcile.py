"""One pass over the committed files: find what differs in the servers and make it equal.

Each step looks before it changes anything, so a pass may end anywhere and the next one finishes.
A tenant is published, and so gets its DAGs, when everything it needs exists; one that left the
tree is unpublished before anything of it is taken away. What needs Kafka comes last: without it
files are ingested all the same. Data is never deleted here.
"""

from __future__ import annotations

import contextlib
import secrets as generator
import time
from collections.abc import Collection, Iterable, Sequence

import attrs
import structlog

from mysimbdp import errors, naming, registry
from mysimbdp.registrar import airflow_plan, airflow_state, connections, publication, staging
from mysimbdp.registrar.airflow import Airflow
from mysimbdp.registrar.changes import PLATFORM, Change
from mysimbdp.registrar.journal import Journal
from mysimbdp.registrar.kafka import Kafka
from mysimbdp.registrar.mongo import Coredms
from mysimbdp.registrar.streams import Streams
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

_log = structlog.get_logger(__name__)
_PASSWORD_BYTES = 24
_PUBLISH_SECONDS = 5.0


@attrs.define
class Registrar:
    """Makes the servers equal to the committed files. One process at a time does this."""

    settings: Settings
    secrets: SecretStore
    coredms: Coredms
    airflow: Airflow
    kafka: Kafka
    _journal: Journal = attrs.field(factory=Journal, init=False)
    _must_parse: bool = attrs.field(default=False, init=False)

    def reconcile(self) -> list[Change]:
        """Do one pass; return what was changed, nothing if all was in order.

        Raises:
            TransientError: a server does not answer; what was done until then stays done.
            ConfigurationError: the tree is not there, or a server refuses the registrar itself.

        """
        self._journal.begin()
        committed = self._read_tree()
        # Stopping and withdrawing need no server, so they never wait for one.
        self._publish(committed)
        self.coredms.observe()
        state = self.airflow.observe()
        self._ensure_platform(state)
        ready = self._ensure_tenants(committed, state)
        self._publish(committed, ready)
        self._withdraw({tenant.tenant for tenant in committed}, state)
        self._publish(committed, ready, self._streams().reconcile(committed, state))
        return self._journal.changes

    def _streams(self) -> Streams:
        return Streams(
            self.settings, self.secrets, self.coredms, self.airflow, self.kafka, self._journal
        )

    def _read_tree(self) -> tuple[registry.RegisteredTenant, ...]:
        if not self.settings.constraints.is_dir():
            # A tree that is not mounted must not look like one without tenants.
            raise errors.ConfigurationError(
                f"The folder {self.settings.constraints} with the service agreements is not there; "
                "nothing is changed until it is."
            )
        committed = []
        for tenant in registry.load_tree(self.settings.home):
            with self._journal.refusals_of(tenant.tenant, "name"):
                if not naming.is_tenant(tenant.tenant):
                    raise errors.ConfigurationError(str(tenant.problems[0]))
                if not tenant.withdrawn:
                    committed.append(tenant)
        return tuple(committed)

    def _read_registry(self) -> tuple[registry.RegisteredTenant, ...]:
        try:
            return registry.read(self.settings.registry)
        except errors.ConfigurationError as error:
            _log.warning("the registry is written anew", reason=str(error))
            return ()

    def _publish(
        self,
        committed: Sequence[registry.RegisteredTenant],
        ready: Collection[str] = (),
        streaming: Collection[str] = (),
    ) -> None:
        published = self._read_registry()
        chosen = publication.decide(committed, published, ready, streaming)
        changes = publication.describe(published, chosen)
        if changes or not self.settings.registry.exists():
            registry.publish(self.settings.registry, chosen)
            self._must_parse = True
            for change in changes:
                self._journal.record(change.tenant, [change.change])
        self._request_parse()

    def _request_parse(self) -> None:
        """Have new and gone DAGs seen at once; without this they wait for the next interval."""
        if self._must_parse:
            with contextlib.suppress(errors.PlatformError):
                self.airflow.reparse()
                self._must_parse = False

    def _ensure_platform(self, state: airflow_state.State) -> None:
        password = self.secrets.ensure("mongo/platform")
        self._journal.record(PLATFORM, self.coredms.ensure_platform(password))
        wished = connections.platform(self.settings, self.secrets)
        self._send(airflow_plan.plan_platform(state, wished))

    def _ensure_tenants(
        self, committed: Sequence[registry.RegisteredTenant], state: airflow_state.State
    ) -> list[str]:
        ready: list[str] = []
        published = time.monotonic()
        for tenant in committed:
            with self._journal.refusals_of(tenant.tenant, "place"):
                self._ensure_tenant(tenant, state)
                ready.append(tenant.tenant)
            if time.monotonic() - published > _PUBLISH_SECONDS:
                # The first of very many new tenants do not wait for the last.
                self._publish(committed, ready)
                published = time.monotonic()
        return ready

    def _ensure_tenant(
        self, registered: registry.RegisteredTenant, state: airflow_state.State
    ) -> None:
        tenant = registered.tenant
        agreement, registration = registered.agreement, registered.registration
        if registered.stopped or agreement is None or registration is None:
            # Whatever else it has stays as it is until its files are put right.
            self._send(airflow_plan.plan_role(state, tenant))
            return
        self._journal.record(
            tenant, staging.ensure(self.settings.staging, tenant, registration.batch)
        )
        password = self.secrets.ensure(_mongo_secret(tenant))
        self._journal.record(tenant, self.coredms.ensure_tenant(tenant, password))
        login, is_new = self._airflow_password(tenant)
        self._send(airflow_plan.plan_login(state, tenant, login, is_new=is_new))
        # Written after Airflow has it: one that it may not have is made up again.
        self.secrets.ensure(_airflow_secret(tenant), login)
        slots = agreement.service_agreement.max_concurrent_ingestions
        connection = connections.tenant(self.settings, self.secrets, tenant)
        self._send(airflow_plan.plan_place(state, tenant, slots, connection))

    def _airflow_password(self, tenant: str) -> tuple[str, bool]:
        try:
            return self.secrets.read(_airflow_secret(tenant)), False
        except errors.SecretMissingError:
            return generator.token_urlsafe(_PASSWORD_BYTES), True

    def _withdraw(self, tenants: set[str], state: airflow_state.State) -> None:
        left = {
            *self.coredms.find_leftovers(tenants),
            *airflow_state.find_leftovers(state, tenants),
            *(name for name in self._secret_owners() if name not in tenants),
        }
        for tenant in sorted(left):
            with self._journal.refusals_of(tenant, "place"):
                self._take_away(tenant, state)

    def _take_away(self, tenant: str, state: airflow_state.State) -> None:
        self._journal.record(tenant, self.coredms.stop_streams(tenant))
        self._journal.record(tenant, self.coredms.revoke(tenant))
        self._send(airflow_plan.plan_login_removal(state, tenant))
        self._forget_secrets(tenant)
        places = airflow_plan.plan_place_removal(state, tenant)
        if places and not self.airflow.has_dags(tenant):
            self._send(places)

    def _secret_owners(self) -> set[str]:
        folders = (self.secrets.folder / name for name in ("mongo/tenants", "airflow/tenants"))
        names = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
        return {name for name in names if naming.is_tenant(name)}

    def _forget_secrets(self, tenant: str) -> None:
        if tenant in self._secret_owners():
            self.secrets.forget(_mongo_secret(tenant))
            self.secrets.forget(_airflow_secret(tenant))
            self._journal.record(tenant, ["secrets forgotten"])

    def _send(self, requests: Iterable[airflow_plan.Request]) -> None:
        for request in requests:
            self.airflow.send(request)
            self._journal.record(request.tenant, [request.change])


def _mongo_secret(tenant: str) -> str:
    return f"mongo/tenants/{naming.login(tenant)}"


def _airflow_secret(tenant: str) -> str:
    return f"airflow/tenants/{naming.login(tenant)}"
