"""The tasks of a run: thin bodies around the batch path.

Bodies import what they need: this file is parsed again and again, and before every task.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from airflow.sdk import Context, get_current_context, task

from mysimbdp import errors
from mysimbdp.reporting import journal

if TYPE_CHECKING:
    from mysimbdp.batch.desk import Desk

FILES_KEY = "files"
#: Airflow keeps 250 characters of what it shows for a mapped task.
_LONGEST_NAME = 200
_UNDER_WAY = ["queued", "running"]
#: Twice the interval of a task's heartbeats, `[workers] min_heartbeat_interval`.
_NOTICE_SECONDS = 10.0


@task(multiple_outputs=False)
def admit(tenant: str, subdirectory: str) -> list[list[str]]:
    """Claim the files and check them against the agreement; return work units of ingestion ids."""
    from mysimbdp.batch import admit as admission
    from mysimbdp.orchestration import connections, params

    context = get_current_context()
    wanted = params.wanted_by(context)
    with connections.open_desk(tenant, subdirectory) as desk:
        units = admission.admit(
            desk, context["run_id"], wanted.pattern, has_ended=_has_ended(context)
        )
        names = _file_names(desk, context["run_id"])
    # The grid shows each mapped task by its files, not by a number.
    context["ti"].xcom_push(FILES_KEY, [_label([names[i] for i in unit]) for unit in units])
    return units


@task(
    multiple_outputs=False,
    map_index_template=f"{{{{ ti.xcom_pull('admit', key='{FILES_KEY}')[ti.map_index] }}}}",
)
def ingest(tenant: str, subdirectory: str, unit: Sequence[str]) -> int:
    """Ingest the files of one work unit; return how many. Takes one slot of the tenant's pool.

    Raises:
        IngestionFailedError: some files failed for good; the others are ingested.
        TransientError: some files may work on the next attempt, which passes over what is done.

    """
    from mysimbdp.batch import ingest as ingestion
    from mysimbdp.orchestration import connections
    from mysimbdp.pipelines import sandbox

    # When its supervisor is gone, the scheduler starts another copy; when a person ends the run,
    # settling starts. This process must not write on: Airflow's own handler would let it.
    sandbox.die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    interrupted: list[errors.TransientError] = []
    with connections.open_desk(tenant, subdirectory, even_if_stopped=True) as desk:
        for one in unit:
            try:
                ingestion.ingest(desk, one)
            except errors.ServiceUnavailableError:
                raise
            except errors.TransientError as error:
                interrupted.append(error)
        if interrupted:
            raise interrupted[0]
        _raise_broken(desk, unit)
    return len(unit)


@task(multiple_outputs=False)
def settle(tenant: str, subdirectory: str) -> dict[str, int]:
    """Report, put every file of the run in its place, tell the contacts.

    Its own state is the state of the run.

    Raises:
        IngestionFailedError: ingestions or earlier tasks of this run failed.

    """
    from mysimbdp.batch import settle as settlement
    from mysimbdp.orchestration import connections

    context = get_current_context()
    run_id = context["run_id"]
    with connections.open_desk(tenant, subdirectory, even_if_stopped=True) as desk:
        _await_ended_tasks(desk, run_id)
        done = settlement.settle(desk, run_id)
        names = _file_names(desk, run_id)
    if done.failed:
        raise errors.IngestionFailedError(
            f"{len(done.failed)} file(s) failed: {_label([names[i] for i in done.failed])}. "
            f"The reasons: mysimbdp ingestions --tenant {tenant}"
        )
    if failed := _failed_tasks(context):
        raise errors.IngestionFailedError(f"{', '.join(failed)} failed; see the log of that task.")
    return {"loaded": len(done.loaded), "rejected": len(done.rejected)}


def explain(message: str) -> None:
    """Add the one task of a DAG that only tells why it cannot run."""

    # The message is no argument of the task: Airflow would render it as a template, and it may
    # repeat what a tenant wrote.
    @task
    def why_stopped() -> None:
        raise errors.TenantStoppedError(message)

    why_stopped()


def _raise_broken(desk: Desk, unit: Sequence[str]) -> None:
    """Show a unit as failed when some of its files failed for good."""
    broken = [document for document in map(desk.ledger.read, unit) if document.get("cause")]
    if broken:
        first = broken[0]
        raise errors.IngestionFailedError(
            f"{len(broken)} of {len(unit)} file(s) failed, {first['name']} because of "
            f"{first['cause']}: {first['error']}"
        )


def _has_ended(context: Context) -> Callable[[str], bool]:
    """Return what tells whether a run of this DAG has ended; a deleted one has."""
    dag_id, ti = context["dag"].dag_id, context["ti"]
    return lambda run_id: not ti.get_dr_count(dag_id, run_ids=[run_id], states=_UNDER_WAY)


def _await_ended_tasks(desk: Desk, run_id: str) -> None:
    """Let an ingestion that a person ended take notice, which it does at its next heartbeat."""
    if any(one["state"] == "loading" for one in desk.ledger.of_run(desk.dag_id, run_id)):
        time.sleep(_NOTICE_SECONDS)


def _failed_tasks(context: Context) -> list[str]:
    run_id = context["run_id"]
    states = context["ti"].get_task_states(context["dag"].dag_id, run_ids=[run_id])
    return sorted(name for name, state in states.get(run_id, {}).items() if state == "failed")


def _file_names(desk: Desk, run_id: str) -> dict[str, str]:
    return {one["_id"]: one["name"] for one in desk.ledger.of_run(desk.dag_id, run_id)}


def _label(names: Sequence[str]) -> str:
    first = journal.one_line(names[0])[:_LONGEST_NAME]
    return first if len(names) == 1 else f"{first} and {len(names) - 1} more"
