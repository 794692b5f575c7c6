"""The tasks of the alerting DAG.

Bodies import what they need: this file is parsed again and again, and before every task.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context, task
from airflow.sdk.exceptions import AirflowSkipException

from mysimbdp import naming, settings

#: A watch without anything to do ends after this long, and the next run goes on.
LEASE = timedelta(hours=1)
_log = logging.getLogger(__name__)


class WatchMetrics(BaseOperator):
    """Wait in the triggerer until an action or a mail is due."""

    def execute(self, context: Context) -> None:  # noqa: ARG002 - Airflow calls it so
        """Defer."""
        from mysimbdp.orchestration.alerting_trigger import AlertingTrigger

        until = datetime.now(UTC) + LEASE
        self.defer(trigger=AlertingTrigger(until.isoformat()), method_name="execute_complete")

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Go on, or skip the rest: nothing has happened."""
        if not event["due"]:
            raise AirflowSkipException("Nothing was missed; the next run goes on watching.")


@task(multiple_outputs=False)
def act() -> list[str]:
    """Do what the agreements say about breaches; return the DAGs of the apps to start again."""
    from mysimbdp.orchestration import connections
    from mysimbdp.reporting.alerts import AlertStore
    from mysimbdp.streaming import actions
    from mysimbdp.streaming.directory import Publication

    directory = Publication(settings.from_environment().registry).directory()
    with connections.open_streams() as streams:
        alerts = AlertStore(streams.platform)
        done = actions.act(alerts, streams, directory.agreement, datetime.now(UTC))
    for text in done.texts:
        _log.info("%s", text)
    return [naming.stream_dag_id(tenant, app) for tenant, app in done.starts]


@task(multiple_outputs=False)
def notify() -> dict[str, int]:
    """Mail what is new; what the mail server does not take now is tried again by a later run."""
    from mysimbdp.orchestration import connections
    from mysimbdp.reporting.alert_post import post
    from mysimbdp.reporting.alerts import AlertStore

    operator = settings.from_environment().operator_email
    with connections.open_streams() as streams:
        alerts = AlertStore(streams.platform)
        posted = post(alerts, connections.mailer(), operator, datetime.now(UTC))
    return {"sent": posted.sent, "postponed": posted.postponed}
