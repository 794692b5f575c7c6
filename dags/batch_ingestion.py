"""
# Batch ingestion

One DAG per registered tenant subdirectory, `<tenant>.<subdirectory>`, all from this file:

    files_ready -> admit -> ingest (one per work unit, in the tenant's pool) -> settle

- A file that lands in `staging/<tenant>/<subdirectory>/` starts a run: one watcher scans all
  inboxes and wakes up the DAG of each that has complete files.
- *Trigger* starts a run by hand, for some files or for archived ones.
- *Backfill* ingests the archive of whole days again.
- A tenant whose committed files are not valid keeps its DAGs, without a schedule; their doc pages
  tell what to correct.

The file reads what the registrar published and nothing else: no database, no secret, and never a
tenant's code. The DAGs themselves are built in `mysimbdp.orchestration.dag_factory`.
"""

from __future__ import annotations

from airflow.sdk import get_parsing_context

from mysimbdp import registry, settings
from mysimbdp.orchestration import dag_factory

places = settings.from_environment()

# Airflow collects the DAGs of a file from its global names. A task process needs only its own.
globals().update(
    dag_factory.build_all(
        registry.read(places.registry),
        staging=places.staging,
        only=get_parsing_context().dag_id,
    )
)
