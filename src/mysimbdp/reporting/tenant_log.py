"""The regular log of one tenant: a line an event, in words for the tenant."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import attrs

from mysimbdp import naming
from mysimbdp.reporting import journal

FOLDER_NAME = "tenants"

Level = Literal["INFO", "WARNING", "ERROR"]


@attrs.frozen
class TenantLog:
    """The log of a tenant in the folder of such logs; any number of processes may write at once."""

    folder: Path
    tenant: str

    @property
    def path(self) -> Path:
        """Name the tenant's file."""
        return self.folder / f"{self.tenant}.log"

    def write(self, level: Level, pipeline: str, ingestion: str, message: str) -> None:
        """Add one line; control characters, as a file name may have, are escaped."""
        now = journal.timestamp(datetime.now(UTC))
        pipeline_id = naming.dag_id(self.tenant, pipeline)
        text = journal.one_line(f"{now} {level} {pipeline_id} {ingestion} {message}")
        journal.append(self.path, text + "\n")


def in_folder(logs: Path, tenant: str) -> TenantLog:
    """Place a tenant's log below the folder of the logs."""
    return TenantLog(logs / FOLDER_NAME, tenant)
