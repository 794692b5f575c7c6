"""One DAG per registered stream app. Runs in the DAG processor and before every task."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from airflow.sdk import DAG
from airflow.sdk.exceptions import RemovedInAirflow4Warning

from mysimbdp import naming
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement
from mysimbdp.orchestration import dag_parts, stream_docs, stream_params, stream_tasks
from mysimbdp.pipelines.registration import StreamApp
from mysimbdp.registry import RegisteredTenant

KIND = "stream"
#: The run of a start lasts as long as the app; a stop must not wait behind it.
MAX_ACTIVE_RUNS = 16


def build_all(tenants: Iterable[RegisteredTenant], only: str | None = None) -> dict[str, DAG]:
    """Build the DAGs of all stream apps, by id; one whose data fail gets a DAG that says so.

    A tenant that never was live has the DAG of its batch side, which says why.

    Args:
        tenants: the registered ones, stopped ones too.
        only: the one DAG that a task process needs; None builds all.

    """
    ordered = sorted(tenants, key=lambda registered: registered.tenant)
    return dag_parts.build((plan for tenant in ordered for plan in _planned(tenant)), KIND, only)


def _planned(tenant: RegisteredTenant) -> Iterator[tuple[str, dag_parts.Build]]:
    agreement, registration = tenant.agreement, tenant.registration
    if agreement is None or registration is None:
        return
    for name, app in sorted(registration.streams.items()):
        build = partial(_dag, tenant.tenant, name, agreement, app, tenant.problems)
        yield naming.stream_dag_id(tenant.tenant, name), build


def _dag(
    tenant: str, name: str, agreement: Agreement, app: StreamApp, problems: Sequence[Problem]
) -> DAG:
    with warnings.catch_warnings(category=RemovedInAirflow4Warning, action="ignore"):
        # The FAB auth manager has no other way to show a DAG to one role only.
        dag = DAG(
            naming.stream_dag_id(tenant, name),
            description=f"Ingests the messages of {tenant} by the stream app {name}",
            schedule=None,
            catchup=False,
            max_active_runs=MAX_ACTIVE_RUNS,
            is_paused_upon_creation=False,
            doc_md=stream_docs.page(tenant, name, agreement, app, problems),
            tags=dag_parts.tags(KIND, tenant, agreement, is_stopped=bool(problems)),
            access_control=dag_parts.access(tenant),
            params=stream_params.form(agreement, app),
            default_args=dag_parts.task_arguments(tenant, agreement),
        )
    with dag:
        stream_tasks.StreamOperator(task_id=stream_tasks.TASK_ID, tenant=tenant, app=name)
    return dag
