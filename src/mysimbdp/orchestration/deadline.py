"""Files are to be settled in the agreed time: Airflow's deadline of each run of a subdirectory.

It begins when the run is queued, which is within seconds of the arrival of its files.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import (  # type: ignore[attr-defined]  # its stub has forgotten them
    AsyncCallback,
    DeadlineAlert,
    DeadlineReference,
)

from mysimbdp.agreements.quantity import Duration

CAUSE = "settled_within"


def alert_of(tenant: str, subdirectory: str, agreed: Duration | None) -> DeadlineAlert | None:
    """Return the deadline of a subdirectory's runs, None if nothing is agreed."""
    if agreed is None:
        return None
    return DeadlineAlert(
        name=CAUSE,
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=agreed.seconds),
        callback=AsyncCallback(
            open_alert,
            kwargs={"tenant": tenant, "subdirectory": subdirectory, "agreed": agreed.text},
        ),
    )


async def open_alert(
    tenant: str, subdirectory: str, agreed: str, context: Mapping[str, Any]
) -> str:
    """Open an alert for a run that is late. Airflow calls it in the triggerer, maybe twice."""
    # It brings the database; every parse of a DAG file would wait for it.
    from mysimbdp.orchestration import late_runs  # noqa: PLC0415

    return await late_runs.watch(tenant, subdirectory, agreed, context)
