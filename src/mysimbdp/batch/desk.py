"""Everything that one task needs to work for one pipeline of one tenant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
from pymongo.database import Database

from mysimbdp import errors, naming
from mysimbdp.agreements.model import Agreement
from mysimbdp.batch.throughput import Throughput
from mysimbdp.ledger import Ledger
from mysimbdp.pipelines.registration import BatchPipeline
from mysimbdp.registry import RegisteredTenant
from mysimbdp.reporting import metrics_log, tenant_log
from mysimbdp.reporting.email import Mailer
from mysimbdp.settings import Settings
from mysimbdp.sinks.mongo import MongoSink
from mysimbdp.staging.area import Area


def file_name(document: dict[str, Any]) -> str:
    """Return a file's name on disk, which need not be the text that reports show."""
    return os.fsdecode(document.get("name_bytes", document["name"]))


@attrs.frozen(kw_only=True)
class Desk:
    """A tenant's pipeline and the servers that it works with. Made in the worker.

    Attributes:
        platform: the platform's database, with the platform's login.
        coredms: the tenant's database, with the tenant's own login.
        mongo_url: the tenant's address and login, which a script is given.

    """

    settings: Settings
    tenant: RegisteredTenant
    subdirectory: str
    pipeline: BatchPipeline
    platform: Database[Any]
    coredms: Database[Any]
    mongo_url: str
    mailer: Mailer

    @property
    def agreement(self) -> Agreement:
        """Return the tenant's agreement; a tenant without one has no desk."""
        if self.tenant.agreement is None:
            raise errors.TenantStoppedError(f"{self.tenant.tenant} has no valid agreement.")
        return self.tenant.agreement

    @property
    def dag_id(self) -> str:
        """Name the pipeline."""
        return naming.dag_id(self.tenant.tenant, self.subdirectory)

    @property
    def area(self) -> Area:
        """Return the pipeline's part of the staging area."""
        return Area(self.settings.staging, self.tenant.tenant, self.subdirectory)

    @property
    def ledger(self) -> Ledger:
        """Return the ledger."""
        return Ledger(self.platform)

    @property
    def throughput(self) -> Throughput:
        """Return the tenant's shared token bucket."""
        return Throughput(
            self.platform["throughput"],
            self.tenant.tenant,
            self.agreement.service_agreement.max_throughput.bytes_per_second,
        )

    @property
    def log(self) -> tenant_log.TenantLog:
        """Return the tenant's regular log."""
        return tenant_log.in_folder(self.settings.logs, self.tenant.tenant)

    @property
    def metrics(self) -> metrics_log.MetricsLog:
        """Return the metrics log of all tenants."""
        return metrics_log.in_folder(self.settings.logs)

    def shown_path(self, name: str) -> str:
        """Write a file's place in the inbox as tenants know it."""
        return str((self.area.inbox / name).relative_to(self.settings.state))

    def file_of(self, document: dict[str, Any]) -> Path:
        """Find the file of an ingestion: claimed, or in the archive when ingested again."""
        if document["reingested"]:
            return self.settings.staging / str(document["archived_at"])
        return self.area.claimed(document["_id"]) / file_name(document)

    def sink_for(self, document: dict[str, Any]) -> MongoSink:
        """Open the way of a file's rows into the tenant's database."""
        return MongoSink(
            database=self.coredms,
            collection=self.pipeline.collection,
            key=self.ledger.key(document),
            ingestion=document["_id"],
            attempt=document["attempt"],
            file=document["name"],
            replaces=document["reingested"],
        )
