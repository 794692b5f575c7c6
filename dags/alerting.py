"""
# Alerting

Watches over what tenants were promised, and tells them and the operator what is missed:

    watch_metrics -> act -> notify
                      └---> start_again (apps that have ended)

- `watch_metrics` waits in the triggerer. It reads the reports of all stream apps from the topic
  `metrics`, keeps their latest windows, and compares them with the `objectives` of the tenants'
  agreements. A breach becomes a document in `mysimbdp.alerts`. After an hour without one, the rest
  is skipped and the next run goes on.
- `act` does what the agreement says (`on_breach`): restart the app, add an instance, stop it, or
  nothing. An app is left in peace for five minutes after that.
- `notify` mails the tenant's contacts and the operator, once for a breach and once for its end; of
  one that swings, once in 15 minutes. Mails that the server does not take are kept and tried again.

A breach opens with the first window above the agreed figure and closes with the second one in a row
that keeps it. Late batch runs (`settled_within`) come here too, from Airflow's deadlines.

**What to do**: see `mysimbdp alerts`, and the document's `found`. Pausing this DAG stops the mails
about everything; nothing is lost meanwhile. Which mail server: the connection `smtp_default`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG

from mysimbdp.orchestration import alerting_tasks, retry

with DAG(
    "alerting",
    description="Tells tenants and the operator what was promised and is missed",
    schedule="@continuous",
    # Each run begins where the last one ended. Without a beginning in the past the first one ends
    # where it begins, the second one has the same name, and is never made.
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    catchup=False,
    is_paused_upon_creation=False,
    doc_md=__doc__,
    tags=["platform", "alerting"],
    default_args={"owner": "platform", **retry.transient_only()},
):
    watched = alerting_tasks.WatchMetrics(task_id="watch_metrics")
    acted = alerting_tasks.act()
    # Mails go out even when an action fails, but not when there is nothing to do.
    notified = alerting_tasks.notify.override(trigger_rule="none_skipped")()
    started = TriggerDagRunOperator.partial(
        task_id="start_again", conf={"action": "start"}, wait_for_completion=False
    ).expand(trigger_dag_id=acted)
    watched >> acted >> [notified, started]
