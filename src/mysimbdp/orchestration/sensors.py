"""The first task of every run: it finds out whether there are files."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from airflow.providers.standard.hooks.filesystem import FSHook
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.providers.standard.utils.skipmixin import SkipMixin
from airflow.sdk import Context
from airflow.sdk.exceptions import (
    AirflowSensorTimeout,
    AirflowSkipException,
    DownstreamTasksSkipped,
)

from mysimbdp import errors, naming
from mysimbdp.orchestration import params, triggers
from mysimbdp.reporting import journal
from mysimbdp.staging import area

_SHOWN_NAMES = 10


class StagedFileSensor(FileSensor, SkipMixin):
    """Find complete files in the inbox, or in the archive of the days asked for.

    A manual run waits in the triggerer until they arrive. A run that nobody asked for in person (an
    event's, a backfilled day's) is skipped when there is nothing: another run was first, or nothing
    was loaded on that day.
    """

    # The scheduler then honours the note that `skip` leaves for tasks which run after any outcome.
    inherits_from_skipmixin = True

    def __init__(self, *, tenant: str, subdirectory: str, **kwargs: Any) -> None:
        super().__init__(
            filepath=f"{tenant}/{subdirectory}/{{{{ params.files }}}}",
            fs_conn_id=naming.STAGING_CONNECTION,
            deferrable=True,
            **kwargs,
        )
        self.tenant = tenant
        self.subdirectory = subdirectory

    def execute(self, context: Context) -> None:
        """Succeed, defer, skip or fail. Runs in a worker.

        Raises:
            IngestionFailedError: a person asked for archived files that do not exist.

        """
        wanted = params.wanted_by(context)
        names = self._find(wanted)
        if names:
            self.log.info("%d file(s): %s", len(names), _shown(names))
        elif wanted.patience:
            self._wait(wanted)
        elif not wanted.by_hand:
            self._skip_all(context, f"Nothing to ingest: no file {_described(wanted)}.")
        else:
            raise errors.IngestionFailedError(
                f"{self.tenant} has no file {_described(wanted)} of {self.subdirectory}. "
                "Check the name in the trigger form."
            )

    def poke(self, context: Context) -> bool:
        """Tell whether there are files now."""
        return bool(self._find(params.wanted_by(context)))

    def execute_complete(self, context: Context, event: Any = None) -> None:
        """Go on after the wait.

        Raises:
            AirflowSensorTimeout: no file arrived.

        """
        if not event:
            wanted = params.wanted_by(context)
            raise AirflowSensorTimeout(
                f"No file {_described(wanted)} of {self.tenant}/{self.subdirectory} arrived within "
                f"{wanted.patience}. Stage one, or wait longer (trigger form)."
            )
        self.log.info("Arrived: %s", _shown(event))

    def _area(self) -> area.Area:
        root = FSHook(self.fs_conn_id).get_path()
        return area.Area(Path(root), self.tenant, self.subdirectory)

    def _find(self, wanted: params.Wanted) -> list[str]:
        place = self._area()
        if wanted.days is None:
            return place.ready(wanted.names)
        return [found.name for found in place.archived(wanted.days, wanted.names)]

    def _wait(self, wanted: params.Wanted) -> NoReturn:
        self.log.info("Waiting %s for a file %s.", wanted.patience, _described(wanted))
        self.defer(
            trigger=triggers.FilesTrigger(
                root=str(self._area().root),
                tenant=self.tenant,
                subdirectory=self.subdirectory,
                pattern=wanted.names,
                until=(datetime.now(UTC) + wanted.patience).isoformat(),
            ),
            method_name="execute_complete",
        )

    def _skip_all(self, context: Context, reason: str) -> NoReturn:
        with contextlib.suppress(DownstreamTasksSkipped):
            self.skip(context["ti"], self.get_direct_relatives(upstream=False))
        raise AirflowSkipException(reason)


def _described(wanted: params.Wanted) -> str:
    place = "in the inbox" if wanted.days is None else f"loaded on {wanted.days} in the archive"
    return f"{wanted.names!r} {place}"


def _shown(names: Sequence[str]) -> str:
    first = ", ".join(journal.one_line(name) for name in names[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return f"{first} and {more} more" if more > 0 else first
