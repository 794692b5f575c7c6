"""The doc page of a stream app's DAG: what it reads and writes, what was agreed, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mysimbdp import naming
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement, Objectives
from mysimbdp.agreements.quantity import Duration
from mysimbdp.orchestration.docs import code, problem_parts, table
from mysimbdp.pipelines.registration import StreamApp

_STOPPED = """\
The app is stopped and cannot be started until they are corrected. Correct them, check with
`mysimbdp check`, commit; then start the app again."""
_ADVICE = """\
- **Start**: *Trigger*, action `start`. The run lasts as long as the app.
- **Stop**: *Trigger*, action `stop`. The app finishes what it has taken, commits, and says so; the
  run that started it ends with success.
- **Scale, restart**: *Trigger*, actions `scale` and `restart`; the run of the start goes on.
- **On the command line**: `mysimbdp streams start|stop|scale|restart {tenant} {app}`.
- **Over REST**, for example a start with two instances:

      TOKEN=$(curl -s "$AIRFLOW_URL/auth/token" -H "Content-Type: application/json" \\
        -d '{{"username": "{tenant}", "password": "…"}}' | jq -r .access_token)
      curl "$AIRFLOW_URL/api/v2/dags/{dag}/dagRuns" -H "Authorization: Bearer $TOKEN" \\
        -H "Content-Type: application/json" \\
        -d '{{"logical_date": null, "conf": {{"action": "start", "instances": 2}}}}'

- **See how it stands**: `mysimbdp streams list --tenant {tenant}`. What its instances print is in
  `logs/streams/{tenant}.{app}.log`.
- **Pausing this DAG does not stop the app**: it goes on, and `mysimbdp streams stop {tenant} {app}`
  stops it. But a run of a paused DAG cannot go on when its supervision is renewed, once an hour:
  the app then drains and waits, `mysimbdp streams list` shows it as lost, and it goes on as soon
  as the DAG is no longer paused.
- **Ending the run by hand** (*mark as success* or *failed*, *clear*) ends all its instances too.
  To end the app, use `stop`: it says what was done."""


def page(
    tenant: str, name: str, agreement: Agreement, app: StreamApp, problems: Sequence[Problem]
) -> str:
    """Render the page, as Markdown."""
    parts = [
        *problem_parts(tenant, problems, _STOPPED),
        f"# {tenant}: {name}",
        _purpose(tenant, app),
        "## Stream app",
        table(("What", "Value"), _app_rows(tenant, name, agreement, app)),
        "## Service agreement",
        table(("What", "Agreed"), _agreement_rows(agreement)),
        "## What to do",
        _ADVICE.format(tenant=tenant, app=name, dag=naming.stream_dag_id(tenant, name)),
    ]
    return "\n\n".join(parts) + "\n"


def _purpose(tenant: str, app: StreamApp) -> str:
    topics = ", ".join(code(naming.topic(tenant, topic)) for topic in app.topics)
    target = "the tenant's database" if app.sink == "coredms" else "JSON files"
    return (
        f"Messages of {topics} become documents in {target}, each message once. The app is started "
        "and stopped on demand."
    )


def _app_rows(
    tenant: str, name: str, agreement: Agreement, app: StreamApp
) -> Iterable[tuple[str, str]]:
    yield "Topics", ", ".join(code(naming.topic(tenant, topic)) for topic in app.topics)
    if app.callable is not None:
        limit = f"{app.max_batch_messages:,} messages at once at most"
        yield "Tenant callable", f"{code(app.callable)}, gets {app.batch}, {limit}"
    else:
        yield "Tenant script", code(" ".join([str(app.script), *app.arguments]))
    yield "Consumer group", code(naming.consumer_group(tenant, app.group or name))
    yield "Instances", f"{app.instances}"
    database = naming.database(tenant)
    yield "Sink", "JSON files" if app.sink == "files" else code(database)
    for collection, target in sorted(app.collections.items()):
        key = f", one document for each {code(target.key)}" if target.key else ""
        yield "Collection", f"{code(collection)}{key}"
    rejects = code(f"{database}.{naming.REJECTS_COLLECTION}")
    yield (
        "Refused messages",
        f"to {rejects}; more than {app.max_reject_ratio:.2%} of the latest stop the app",
    )
    yield "Window of a report", _duration(app.window)
    yield "Memory of an instance's code", f"{app.memory_bytes(agreement):,} bytes"
    yield "Timeout", _duration(app.resources.timeout) if app.resources.timeout else "none"


def _agreement_rows(agreement: Agreement) -> Iterable[tuple[str, str]]:
    limits = agreement.streams
    if limits is not None:
        publish, consume = limits.max_publish_rate, limits.max_consume_rate
        yield "Sending", f"{publish.text} ({publish.bytes_per_second:,} bytes/s)"
        yield "Reading", f"{consume.text} ({consume.bytes_per_second:,} bytes/s)"
        yield "Instances of one app", f"{limits.max_instances}"
        yield "Messages are kept for", _duration(limits.retention)
    yield from _objective_rows(agreement.objectives)
    yield "Plan", f"{agreement.plan} (priority {agreement.priority})"
    yield "Contacts", ", ".join(code(contact) for contact in agreement.contacts)


def _objective_rows(objectives: Objectives) -> Iterable[tuple[str, str]]:
    wait, lag = objectives.max_average_ingestion_time, objectives.max_lag
    ratio, silence = objectives.max_reject_ratio, objectives.max_silence
    promised = [
        ("Average ingestion time", None if wait is None else _duration(wait)),
        ("Lag", None if lag is None else f"{lag:,} messages"),
        ("Rejected in a window", None if ratio is None else f"{ratio:.2%}"),
        ("Silence of a running app", None if silence is None else _duration(silence)),
    ]
    found = [(f"{what}, at most", text) for what, text in promised if text is not None]
    yield from found or [("Objectives", "none")]
    if found:
        yield (
            "When an objective is missed",
            f"the contacts are told; action: {objectives.on_breach}",
        )


def _duration(duration: Duration) -> str:
    return f"{duration.text} ({duration.seconds} s)"
