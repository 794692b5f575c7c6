"""One DAG per registered subdirectory. Runs in the DAG processor and before every task."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher
from airflow.sdk.exceptions import RemovedInAirflow4Warning

from mysimbdp import naming
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement
from mysimbdp.orchestration import dag_parts, deadline, docs, params, tasks, triggers
from mysimbdp.orchestration.sensors import StagedFileSensor
from mysimbdp.orchestration.timetable import ArchiveDays
from mysimbdp.pipelines.registration import BatchPipeline
from mysimbdp.registry import RegisteredTenant
from mysimbdp.staging.area import Area

if TYPE_CHECKING:
    from airflow.sdk.bases.timetable import BaseTimetable

#: A large file must not hold up the small ones that land after it.
MAX_ACTIVE_RUNS = 16
KIND = "batch"
_LONGEST_NAME = 50


def build_all(
    tenants: Iterable[RegisteredTenant], staging: Path, only: str | None = None
) -> dict[str, DAG]:
    """Build the DAGs of all tenants, by id; a tenant whose data fails gets a DAG that says so.

    Args:
        tenants: the registered ones, stopped ones too.
        staging: root of the staging areas.
        only: the one DAG that a task process needs; None builds all.

    """
    ordered = sorted(tenants, key=lambda registered: registered.tenant)
    planned = (plan for tenant in ordered for plan in _planned(tenant, staging))
    return dag_parts.build(planned, KIND, only)


def _planned(tenant: RegisteredTenant, staging: Path) -> Iterator[tuple[str, dag_parts.Build]]:
    agreement, registration = tenant.agreement, tenant.registration
    if agreement is None or registration is None:
        yield _stopped_dag_id(tenant.tenant), partial(_stopped_dag, tenant)
        return
    for subdirectory, pipeline in sorted(registration.batch.items()):
        area = Area(staging, tenant.tenant, subdirectory)
        build = partial(_live_dag, area, agreement, pipeline, tenant.problems)
        yield naming.dag_id(tenant.tenant, subdirectory), build


def _live_dag(
    area: Area, agreement: Agreement, pipeline: BatchPipeline, problems: Sequence[Problem]
) -> DAG:
    tags = dag_parts.tags(KIND, area.tenant, agreement, is_stopped=bool(problems))
    tags += map(str, pipeline.accepted_formats(agreement))
    with warnings.catch_warnings(category=RemovedInAirflow4Warning, action="ignore"):
        # The FAB auth manager has no other way to show a DAG to one role only.
        dag = DAG(
            naming.dag_id(area.tenant, area.subdirectory),
            description=f"Ingests what {area.tenant} puts into {area.subdirectory}",
            schedule=None if problems else _schedule(area),
            catchup=False,
            max_active_runs=MAX_ACTIVE_RUNS,
            is_paused_upon_creation=False,
            doc_md=docs.live_page(area, agreement, pipeline, problems),
            tags=tags,
            access_control=dag_parts.access(area.tenant),
            params=params.form(),
            deadline=deadline.alert_of(
                area.tenant, area.subdirectory, agreement.objectives.settled_within
            ),
            default_args=dag_parts.task_arguments(area.tenant, agreement),
        )
    with dag:
        _wire(area.tenant, area.subdirectory)
    return dag


def _wire(tenant: str, subdirectory: str) -> None:
    ready = StagedFileSensor(task_id="files_ready", tenant=tenant, subdirectory=subdirectory)
    units = tasks.admit(tenant, subdirectory)
    ingested = (
        tasks.ingest.override(pool=naming.pool(tenant))
        .partial(tenant=tenant, subdirectory=subdirectory)
        .expand(unit=units)
    )
    # A teardown runs whatever came before, and also when a person ends the run: no file is left
    # behind in `claimed`. It decides how the run is shown. The edge from the sensor lets a run
    # without files skip it.
    settled = tasks.settle(tenant, subdirectory).as_teardown(on_failure_fail_dagrun=True)
    ready >> units >> ingested >> settled
    [ready, units] >> settled


def _schedule(area: Area) -> AssetOrTimeSchedule:
    watcher = triggers.InboxTrigger(str(area.root), area.tenant, area.subdirectory)
    inbox = Asset(
        naming.inbox_asset(area.tenant, area.subdirectory),
        watchers=[AssetWatcher(name="inbox", trigger=watcher)],
    )
    # The serializer takes a registered timetable of the core at this place.
    days = cast("BaseTimetable", ArchiveDays())
    return AssetOrTimeSchedule(timetable=days, assets=[inbox])


def _stopped_dag(tenant: RegisteredTenant) -> DAG:
    message = "; ".join(str(problem) for problem in tenant.problems)
    page = docs.stopped_page(tenant.tenant, tenant.problems)
    return dag_parts.explaining_dag(_stopped_dag_id(tenant.tenant), message, page, KIND)


def _stopped_dag_id(tenant: str) -> str:
    """Name the DAG also for a tenant whose name is what is wrong with it."""
    return naming.stopped_dag_id(re.sub(r"[^A-Za-z0-9_-]", "_", tenant)[:_LONGEST_NAME])
