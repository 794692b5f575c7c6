"""Make users, rights, quotas and topics in Kafka, with the administrator's login."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping

import attrs
from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from mysimbdp import errors, messaging, naming
from mysimbdp.agreements.model import StreamLimits
from mysimbdp.pipelines.registration import TopicLayout
from mysimbdp.registrar import (
    kafka_faults,
    kafka_groups,
    kafka_logins,
    kafka_quotas,
    kafka_rights,
    kafka_topics,
)
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

#: A consumer that was cut off counts as a member of its group for this long.
MEMBER_SECONDS = 60.0

_REQUEST_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_QUIET = {"log_level": 2, "reconnect.backoff.max.ms": 1000}


@attrs.frozen(kw_only=True)
class Seen:
    """What Kafka has: all of it, not only what is ours."""

    rights: kafka_rights.Rights = frozenset()
    logins: kafka_logins.Logins = attrs.field(factory=dict)
    quotas: Mapping[kafka_quotas.Entity, kafka_quotas.Quota] = attrs.field(factory=dict)
    topics: Mapping[str, kafka_topics.Topic] = attrs.field(factory=dict)


class Kafka:
    """The Kafka of the deployment. A look takes five requests, however many tenants there are."""

    def __init__(
        self, settings: Settings, secrets: SecretStore, patience_seconds: float = 5.0
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._address = messaging.address(settings)
        self._patience_seconds = patience_seconds
        self._admin: AdminClient | None = None
        self._quotas: kafka_quotas.QuotaClient | None = None
        self._faults: list[KafkaError] = []
        self._seen = Seen()

    def observe(self) -> None:
        """Read which users, rights, quotas and topics there are.

        Raises:
            ServiceUnavailableError: Kafka does not answer.
            ConfigurationError: Kafka refuses the administrator's login, or there is none.

        """
        with self._translated():
            # A client for quotas that lost its server waits longer than a new one.
            self._close_quotas()
            admin, quotas = self._connect()
            topics = kafka_topics.read(admin, self._patience_seconds)
            rights, logins = kafka_rights.read(admin), kafka_logins.read(admin)
            users = kafka_rights.owners(rights) | logins.keys()
            self._seen = Seen(
                rights=rights,
                logins=logins,
                quotas=quotas.read(),
                topics=kafka_topics.read_retention(admin, topics, users),
            )

    def ensure_platform(self, password: str, tenants: Collection[str]) -> list[str]:
        """Make the platform's topic, and its login that may look at these tenants' streams.

        Raises:
            ConfigurationError: Kafka does not take the topic.

        """
        user = messaging.PLATFORM
        rights = kafka_rights.of_platform(tenants)
        with self._translated():
            admin, _ = self._connect()
            topics = kafka_topics.ensure(admin, self._seen.topics, kafka_topics.of_platform())
            if topics.refusals and naming.METRICS_TOPIC not in self._seen.topics:
                raise errors.ConfigurationError(topics.refusals[0])
            return [
                *topics.changes,
                *kafka_rights.ensure(admin, self._seen.rights, user, rights),
                *kafka_logins.ensure(admin, self._seen.logins, user, password),
            ]

    def ensure_tenant(
        self,
        tenant: str,
        password: str,
        limits: StreamLimits,
        layouts: Mapping[str, TopicLayout],
    ) -> kafka_topics.Outcome:
        """Make a tenant's topics, and its login on them; say what cannot be as registered."""
        user = naming.login(tenant)
        quotas = kafka_quotas.plan(self._seen.quotas, user, kafka_quotas.of(limits))
        topics = kafka_topics.of_tenant(tenant, limits, layouts)
        with self._translated():
            admin, client = self._connect()
            # The login comes last: there is none without limits, nor one that is not found again.
            changes = self._set_quotas(client, user, quotas)
            changes += kafka_rights.ensure(
                admin, self._seen.rights, user, kafka_rights.of_tenant(tenant)
            )
            outcome = kafka_topics.ensure(admin, self._seen.topics, topics)
            changes += outcome.changes
            changes += kafka_logins.ensure(admin, self._seen.logins, user, password)
        return attrs.evolve(outcome, changes=tuple(changes))

    def find_leftovers(self, tenants: Collection[str]) -> list[str]:
        """Name the tenants with rights that we gave although they are not in the tree."""
        return sorted(self._owners() - set(tenants))

    def has_login(self, tenant: str) -> bool:
        """Tell whether a tenant can do anything, as last observed."""
        return tenant in self._owners()

    def revoke(self, tenant: str) -> list[str]:
        """Take a tenant's rights and login away; its topics and groups stay."""
        user = naming.login(tenant)
        left = kafka_quotas.plan(self._seen.quotas, user, {})
        if not (self.has_login(tenant) or user in self._seen.logins or left):
            return []
        with self._translated():
            admin, client = self._connect()
            # Rights first: without them a session that is open can do nothing.
            kafka_rights.take(admin, user)
            kafka_logins.drop(admin, self._seen.logins, user)
            self._set_quotas(client, user, left)
        return ["Kafka login revoked"]

    def purge(self, tenant: str) -> None:
        """Delete a tenant's topics and consumer groups.

        Raises:
            ServiceUnavailableError: a consumer of the tenant does not leave its group.

        """
        prefix = naming.kafka_prefix(tenant)
        with self._translated():
            admin, _ = self._connect()
            kafka_topics.delete(admin, prefix, self._patience_seconds)
            deadline = time.monotonic() + MEMBER_SECONDS
            while busy := kafka_groups.delete(admin, prefix):
                if time.monotonic() > deadline:
                    raise errors.ServiceUnavailableError(
                        f"The consumer groups {', '.join(busy)} of {tenant} still have members, "
                        "so they are not deleted. End those consumers and run this again.",
                        tenant=tenant,
                    )
                time.sleep(_LOOK_SECONDS)

    def close(self) -> None:
        """Close the connections; the next call opens them again."""
        self._admin = None
        self._close_quotas()

    def _close_quotas(self) -> None:
        if self._quotas is not None:
            self._quotas.close()
            self._quotas = None

    def _owners(self) -> set[str]:
        return kafka_rights.owners(self._seen.rights)

    def _set_quotas(
        self, client: kafka_quotas.QuotaClient, user: str, plan: kafka_quotas.Plan
    ) -> list[str]:
        if not plan:
            return []
        client.write(plan)
        return [f"Kafka quotas of {user} set"]

    def _connect(self) -> tuple[AdminClient, kafka_quotas.QuotaClient]:
        login = messaging.registrar_login(self._settings, self._secrets)
        if self._admin is None:
            self._faults.clear()
            self._admin = AdminClient({**login, **_QUIET}, error_cb=self._faults.append)
            self._admin.list_topics(timeout=self._patience_seconds)
        if self._quotas is None:
            self._quotas = kafka_quotas.QuotaClient(login, self._patience_seconds)
        return self._admin, self._quotas

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with kafka_faults.translated(self._address, self._was_login_refused):
                yield
        except errors.PlatformError:
            # A server that comes back is met by a new client, without waiting.
            self.close()
            raise

    def _was_login_refused(self) -> bool:
        if self._admin is not None:
            self._admin.poll(0)
        refused = KafkaError._AUTHENTICATION  # noqa: SLF001 - the client's own codes begin so
        return any(fault.code() == refused for fault in self._faults)
