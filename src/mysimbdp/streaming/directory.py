"""What is registered and agreed on, as alerting asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from mysimbdp import registry
from mysimbdp.agreements.model import Agreement, Objectives
from mysimbdp.registry import RegisteredTenant
from mysimbdp.streaming import standing
from mysimbdp.streaming.breaches import App
from mysimbdp.streaming.store import RUNNING
from mysimbdp.streaming.windows import Key

#: Who stops an app that has failed.
PLATFORM = "platform"


@attrs.frozen
class Directory:
    """The registered tenants by name."""

    tenants: Mapping[str, RegisteredTenant]

    def with_streams(self) -> set[str]:
        """Name the tenants that have topics."""
        return {name for name in self.tenants if self._has_streams(name)}

    def agreement(self, tenant: str) -> Agreement | None:
        """Return what was agreed with a tenant, None if it is gone."""
        found = self.tenants.get(tenant)
        return found.agreement if found and not found.withdrawn else None

    def objectives(self, tenant: str) -> Objectives:
        """Return what a tenant is promised; nothing, if it is gone."""
        agreement = self.agreement(tenant)
        return agreement.objectives if agreement else Objectives()

    def has(self, key: Key) -> bool:
        """Tell whether a stream app is registered."""
        tenant, app = key
        found = self.tenants.get(tenant)
        if found is None or found.registration is None or found.withdrawn:
            return False
        return app in found.registration.streams

    def app(self, document: Mapping[str, Any], now: datetime) -> App:
        """Tell from an app's document what it shall do and whether it failed."""
        key = tenant, name = document["tenant"], document["app"]
        if not self.has(key) or self.tenants[tenant].stopped:
            return App(runs=False)
        stands = standing.of(document, tenant, name, now)
        # The platform itself stops what has failed: that is nobody's wish.
        is_wanted = stands.desired == RUNNING or stands.by == PLATFORM
        failed = is_wanted and stands.actual == standing.FAILED
        return App(
            runs=failed or stands.desired == RUNNING,
            since=document.get("wish", {}).get("at"),
            failed=f"{stands.cause}: {stands.error}" if failed else None,
        )

    def _has_streams(self, tenant: str) -> bool:
        agreement = self.agreement(tenant)
        return agreement is not None and agreement.streams is not None


@attrs.define
class Publication:
    """The directory that the registrar published; read again when it has changed."""

    path: Path
    _read: Directory = attrs.field(factory=lambda: Directory({}), init=False)
    _version: tuple[int, int] | None = attrs.field(default=None, init=False)

    def directory(self) -> Directory:
        """Return it as it is now; before the first publication it is empty.

        Raises:
            ConfigurationError: the file is not one that the registrar wrote.

        """
        version = self._stat()
        if version != self._version:
            tenants = registry.read(self.path)
            self._read = Directory({one.tenant: one for one in tenants})
            self._version = version
        return self._read

    def _stat(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns
