"""
# Stream ingestion

One DAG per registered stream app, `<tenant>.<app>.stream`, all from this file. Each has one task,
and no schedule: a run is an order.

- A run with the action `start` lasts as long as the app. Its task waits in the triggerer, which
  supervises one process per instance.
- Runs with the actions `stop`, `scale` and `restart` say what the app shall do, and end when it is
  so.
- What an app shall do is kept in the platform's database: pausing a DAG does not change it.
- A tenant whose committed files are not valid keeps its DAGs; their doc pages tell what to correct.

The file reads what the registrar published and nothing else: no database, no secret, and never a
tenant's code. The DAGs themselves are built in `mysimbdp.orchestration.stream_factory`.
"""

from __future__ import annotations

from airflow.sdk import get_parsing_context

from mysimbdp import registry, settings
from mysimbdp.orchestration import stream_factory

# Airflow collects the DAGs of a file from its global names. A task process needs only its own.
globals().update(
    stream_factory.build_all(
        registry.read(settings.from_environment().registry),
        only=get_parsing_context().dag_id,
    )
)
