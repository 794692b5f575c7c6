"""One DAG per registered subdirectory. Runs in the DAG processor and before every task."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, AssetWatcher
from airflow.sdk.exceptions import RemovedInAirflow4Warning

from mysimbdp import naming
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement
from mysimbdp.orchestration import docs, params, retry, tasks, triggers
from mysimbdp.orchestration.sensors import StagedFileSensor
from mysimbdp.orchestration.timetable import ArchiveDays
from mysimbdp.pipelines.registration import BatchPipeline
from mysimbdp.registry import RegisteredTenant
from mysimbdp.staging.area import Area

if TYPE_CHECKING:
    from airflow.sdk.bases.timetable import BaseTimetable

#: A large file must not hold up the small ones that land after it.
MAX_ACTIVE_RUNS = 16
STOPPED_TAG = "stopped"
_LONGEST_NAME = 50
_ACTIONS = {"DAGs": {"can_read", "can_edit"}, "DAG Runs": {"can_create", "can_read"}}

_log = logging.getLogger(__name__)
_Build = Callable[[], DAG]


def build_all(
    tenants: Iterable[RegisteredTenant], staging: Path, only: str | None = None
) -> dict[str, DAG]:
    """Build the DAGs of all tenants, by id; a tenant whose data fails gets a DAG that says so.

    Args:
        tenants: the registered ones, stopped ones too.
        staging: root of the staging areas.
        only: the one DAG that a task process needs; None builds all.

    """
    dags: dict[str, DAG] = {}
    for tenant in sorted(tenants, key=lambda registered: registered.tenant):
        for dag_id, build in _planned(tenant, staging):
            if only in (None, dag_id):
                dags[dag_id] = _built(dag_id, build)
    return dags


def _planned(tenant: RegisteredTenant, staging: Path) -> Iterator[tuple[str, _Build]]:
    agreement, registration = tenant.agreement, tenant.registration
    if agreement is None or registration is None:
        yield _stopped_dag_id(tenant.tenant), partial(_stopped_dag, tenant)
        return
    for subdirectory, pipeline in sorted(registration.batch.items()):
        area = Area(staging, tenant.tenant, subdirectory)
        build = partial(_live_dag, area, agreement, pipeline, tenant.problems)
        yield naming.dag_id(tenant.tenant, subdirectory), build


def _built(dag_id: str, build: _Build) -> DAG:
    """Build a DAG whatever its tenant's data are: an error would stop the DAGs of all tenants."""
    try:
        return build()
    except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
        _log.exception("The DAG %s could not be built.", dag_id)
        message = f"The DAG could not be built: {type(error).__name__}: {error}"
        return _explaining_dag(dag_id, message, f"# {dag_id}\n\n{docs.code(message)}\n")


def _live_dag(
    area: Area, agreement: Agreement, pipeline: BatchPipeline, problems: Sequence[Problem]
) -> DAG:
    tags = ["batch", f"tenant:{area.tenant}", f"plan:{agreement.plan}"]
    tags += map(str, pipeline.accepted_formats(agreement))
    tags += [STOPPED_TAG] if problems else []
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
            access_control={naming.role(area.tenant): _ACTIONS},
            params=params.form(),
            default_args=_task_arguments(area.tenant, agreement),
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


def _task_arguments(tenant: str, agreement: Agreement) -> dict[str, Any]:
    # Absolute weights: the plan decides between tenants, not the place of a task in its DAG.
    return {
        "owner": tenant,
        "priority_weight": agreement.priority,
        "weight_rule": "absolute",
        **retry.transient_only(),
    }


def _stopped_dag(tenant: RegisteredTenant) -> DAG:
    message = "; ".join(str(problem) for problem in tenant.problems)
    page = docs.stopped_page(tenant.tenant, tenant.problems)
    return _explaining_dag(_stopped_dag_id(tenant.tenant), message, page)


def _explaining_dag(dag_id: str, message: str, page: str) -> DAG:
    """Build the DAG of something that cannot run; only operators see it, a role may not exist."""
    dag = DAG(
        dag_id,
        description="Stopped; see the doc page",
        schedule=None,
        catchup=False,
        doc_md=page,
        tags=["batch", STOPPED_TAG],
    )
    with dag:
        tasks.explain(message)
    return dag


def _stopped_dag_id(tenant: str) -> str:
    """Name the DAG also for a tenant whose name is what is wrong with it."""
    return naming.stopped_dag_id(re.sub(r"[^A-Za-z0-9_-]", "_", tenant)[:_LONGEST_NAME])
