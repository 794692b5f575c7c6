"""Give an order to a stream app and wait until it is carried out, nearby or over REST alone."""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator
from typing import Any

import pymongo
from bson.codec_options import CodecOptions

from mysimbdp import coredms, errors, messaging, naming, registry, settings
from mysimbdp.cli import dag_runs
from mysimbdp.cli.dag_runs import DagRuns
from mysimbdp.secrets import SecretStore
from mysimbdp.streaming import change, positions, request, standing
from mysimbdp.streaming.change import AppFailedError
from mysimbdp.streaming.checkpoint import CheckpointStore
from mysimbdp.streaming.request import Action, Request
from mysimbdp.streaming.standing import Standing
from mysimbdp.streaming.store import StreamStore

#: The name of the task in the DAGs of stream apps.
_TASK = "stream"
_START_SECONDS = 180.0
_STORE_MILLISECONDS = 10_000
_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)


@contextlib.contextmanager
def open_streams() -> Iterator[StreamStore]:
    """Give the wishes and states of the stream apps, with the platform's login."""
    places = settings.from_environment()
    url = coredms.platform_url(places, SecretStore(places.secrets))
    with pymongo.MongoClient[dict[str, Any]](url, timeoutMS=_STORE_MILLISECONDS) as client:
        yield StreamStore(client.get_database(naming.PLATFORM_DATABASE, codec_options=_AWARE))


def give(asked: Request) -> str:
    """Carry out an order; return what came of it, in one sentence.

    Raises:
        UsageError: it goes beyond the agreement or the registration.
        AppFailedError: the app cannot run.
        AirflowRefusedError: Airflow refuses it, or its run failed.

    """
    if dag_runs.is_remote():
        return _give_over_rest(asked, dag_runs.open_dag_runs())
    with open_streams() as streams:
        _check(asked, streams)
        if asked.action is Action.START:
            return _start(asked, streams, dag_runs.open_dag_runs())
        return change.carry_out(streams, asked, getpass.getuser())


def reset(tenant: str, app: str) -> str:
    """Forget how far a stopped app has read; return what came of it, in one sentence.

    Raises:
        UsageError: it is not stopped, or Kafka still counts an instance of it.

    """
    places = settings.from_environment()
    _, registered = registry.find_stream(places.registry, tenant, app)
    name = naming.stream_app(tenant, app)
    with open_streams() as streams:
        now = change.look(streams, tenant, app)
        if now.is_supervised:
            raise errors.UsageError(
                f"{name} is {now.actual}; stop it first: mysimbdp streams stop {tenant} {app}."
            )
        login = messaging.registrar_login(places, SecretStore(places.secrets))
        positions.forget_group(login, naming.consumer_group(tenant, registered.group or app))
        count = CheckpointStore(streams.platform, tenant, app).reset()
    return f"{name} begins at the oldest message next time; {count} partition(s) were known."


def _check(asked: Request, streams: StreamStore) -> None:
    is_known = asked.action is Action.STOP and streams.read(asked.tenant, asked.app)
    if not is_known:
        registered, app = registry.find_stream(
            settings.from_environment().registry, asked.tenant, asked.app
        )
        request.check(asked, registered, app)


def _start(asked: Request, streams: StreamStore, runs: DagRuns) -> str:
    dag_id = naming.stream_dag_id(asked.tenant, asked.app)
    if runs.is_paused(dag_id):
        raise errors.UsageError(
            f"{asked.name} cannot start: its DAG {dag_id} is paused. Unpause it in the list of "
            f"DAGs, or: mysimbdp airflow dags unpause {dag_id}",
        )
    run_id = runs.start(dag_id, _form(asked))

    def is_decided() -> bool:
        now = change.look(streams, asked.tenant, asked.app)
        return now.run_id == run_id and now.actual in {standing.RUNNING, *standing.AT_REST}

    try:
        runs.wait(dag_id, run_id, is_decided, _START_SECONDS)
    finally:
        _raise_failure(asked, run_id, change.look(streams, asked.tenant, asked.app))
    now = change.look(streams, asked.tenant, asked.app)
    if now.run_id == run_id and now.is_supervised:
        return f"{asked.name} is {now.actual} with {now.wanted_instances} instance(s)."
    if now.is_supervised:
        return f"{asked.name} was {now.actual} already, by the run {now.run_id}."
    return f"{asked.name} was stopped again before it ran."


def _raise_failure(asked: Request, run_id: str, now: Standing) -> None:
    """Tell why the app itself failed rather than that its run did."""
    if now.run_id == run_id and now.actual == standing.FAILED:
        raise AppFailedError(change.failure_sentence(asked.name, now.cause, now.error))


def _give_over_rest(asked: Request, runs: DagRuns) -> str:
    dag_id = naming.stream_dag_id(asked.tenant, asked.app)
    run_id = runs.start(dag_id, _form(asked))

    def is_supervised() -> bool:
        is_start = asked.action is Action.START
        return is_start and runs.task_state(dag_id, run_id, _TASK) == "deferred"

    runs.wait(dag_id, run_id, is_supervised, _START_SECONDS)
    return f"Done: {asked.action} of {asked.name}, by the run {run_id}: {runs.page(dag_id, run_id)}"


def _form(asked: Request) -> dict[str, Any]:
    fields = {
        "action": asked.action.value,
        "instances": asked.instances,
        "arguments": None if asked.arguments is None else list(asked.arguments),
    }
    return {name: value for name, value in fields.items() if value is not None}
