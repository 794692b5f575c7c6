"""What the DAGs of all tenants have in common. Runs in the DAG processor and before every task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from airflow.sdk import DAG

from mysimbdp import naming
from mysimbdp.agreements.model import Agreement
from mysimbdp.orchestration import docs, retry, tasks

STOPPED_TAG = "stopped"
_ACTIONS = {"DAGs": {"can_read", "can_edit"}, "DAG Runs": {"can_create", "can_read"}}

_log = logging.getLogger(__name__)
Build = Callable[[], DAG]


def build(planned: Iterable[tuple[str, Build]], kind: str, only: str | None) -> dict[str, DAG]:
    """Build DAGs, by id; one whose data fail becomes a DAG that says so.

    Args:
        planned: ids, and what builds each.
        kind: a tag of those that fail.
        only: the one DAG that a task process needs; None builds all.

    """
    return {
        dag_id: _built(dag_id, make, kind) for dag_id, make in planned if only in (None, dag_id)
    }


def explaining_dag(dag_id: str, message: str, page: str, kind: str) -> DAG:
    """Build the DAG of something that cannot run; only operators see it, a role may not exist."""
    dag = DAG(
        dag_id,
        description="Stopped; see the doc page",
        schedule=None,
        catchup=False,
        doc_md=page,
        tags=[kind, STOPPED_TAG],
    )
    with dag:
        tasks.explain(message)
    return dag


def access(tenant: str) -> dict[str, dict[str, set[str]]]:
    """Return who may see and run a DAG beside the operators: its tenant."""
    return {naming.role(tenant): _ACTIONS}


def tags(kind: str, tenant: str, agreement: Agreement, *, is_stopped: bool) -> list[str]:
    """Return the tags by which people find a DAG."""
    found = [kind, f"tenant:{tenant}", f"plan:{agreement.plan}"]
    return [*found, STOPPED_TAG] if is_stopped else found


def task_arguments(tenant: str, agreement: Agreement) -> dict[str, Any]:
    """Return what holds for every task of a tenant."""
    # Absolute weights: the plan decides between tenants, not the place of a task in its DAG.
    return {
        "owner": tenant,
        "priority_weight": agreement.priority,
        "weight_rule": "absolute",
        **retry.transient_only(),
    }


def _built(dag_id: str, make: Build, kind: str) -> DAG:
    """Build a DAG whatever its tenant's data are: an error would stop the DAGs of all tenants."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
        _log.exception("The DAG %s could not be built.", dag_id)
        message = f"The DAG could not be built: {type(error).__name__}: {error}"
        return explaining_dag(dag_id, message, f"# {dag_id}\n\n{docs.code(message)}\n", kind)
