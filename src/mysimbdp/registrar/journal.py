"""What the registrar does, and what it cannot do, told as it happens."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import attrs
import structlog

from mysimbdp import errors
from mysimbdp.registrar.changes import Change

_log = structlog.get_logger(__name__)


@attrs.define
class Journal:
    """The changes of the present pass, and the refusals that were told already."""

    changes: list[Change] = attrs.field(factory=list, init=False)
    _refusals: dict[tuple[str, str], str] = attrs.field(factory=dict, init=False)

    def begin(self) -> None:
        """Start a new pass."""
        self.changes = []

    def record(self, tenant: str, changes: Iterable[str]) -> None:
        """Note and tell what was changed for a tenant."""
        for change in changes:
            self.changes.append(Change(tenant, change))
            _log.info("changed", tenant=tenant, change=change)

    @contextlib.contextmanager
    def refusals_of(self, tenant: str, matter: str) -> Iterator[None]:
        """Say once why something cannot be done for a tenant; the others go on."""
        try:
            yield
        except (errors.TerminalError, errors.StagingError) as error:
            if self._refusals.get((tenant, matter)) != str(error):
                self._refusals[tenant, matter] = str(error)
                _log.error("refused", tenant=tenant, reason=str(error))
        else:
            self._refusals.pop((tenant, matter), None)
