"""The doc page of a DAG: what was agreed, what is registered, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mysimbdp import naming
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement
from mysimbdp.agreements.quantity import Duration, Size
from mysimbdp.pipelines.registration import BatchPipeline
from mysimbdp.reporting import journal
from mysimbdp.staging.area import Area

_STOPPED = """\
Nothing is admitted until they are corrected; what was admitted before is finished. Correct them,
check with `mysimbdp check`, commit: the tenant goes on by itself."""
_ADVICE = """\
- **Ingest a file**: `mysimbdp stage {tenant} {subdirectory} FILE`. A run starts by itself.
- **Ingest some files, or archived ones again**: *Trigger*, and fill in the form.
- **Ingest the archive of whole days again**: *Trigger*, *Backfill*, or
  `airflow backfill create --dag-id {dag} --from-date DAY --to-date DAY
  --reprocess-behavior completed`.
  Nothing is stored twice.
- **Stop and start**: pause the DAG; files then wait in the inbox.
- **See what happened**: `mysimbdp ingestions --tenant {tenant}`. A refused file lies in
  `rejected/{subdirectory}/`, beside its `reason.json`."""
_TASKS = (
    ("`files_ready`", "finds complete files; a manual run waits for them, any other is skipped"),
    ("`admit`", "claims them and checks each against the agreement; refused ones get a reason"),
    ("`ingest`", "one task per work unit, in the tenant's pool; each takes one slot"),
    ("`settle`", "reports, archives to `loaded` or `rejected`, tells the contacts"),
)


def live_page(
    area: Area, agreement: Agreement, pipeline: BatchPipeline, problems: Sequence[Problem]
) -> str:
    """Render the page of a subdirectory's DAG, as Markdown."""
    parts = [
        *problem_parts(area.tenant, problems),
        f"# {area.tenant}: {area.subdirectory}",
        _purpose(area, pipeline),
        "## Pipeline",
        table(("What", "Value"), _pipeline_rows(area, agreement, pipeline)),
        "## Service agreement",
        table(("What", "Agreed"), _agreement_rows(agreement)),
        "## Tasks",
        table(("Task", "What it does"), _TASKS),
        "## What to do",
        _advice(area),
    ]
    return "\n\n".join(parts) + "\n"


def _purpose(area: Area, pipeline: BatchPipeline) -> str:
    return (
        f"Files that land in {code(area.inbox)} are checked against the service agreement, "
        f"ingested into {code(_target(area.tenant, pipeline))} and archived."
    )


def stopped_page(tenant: str, problems: Sequence[Problem]) -> str:
    """Render the page of a tenant that never was live."""
    return "\n\n".join(problem_parts(tenant, problems)) + "\n"


def problem_parts(tenant: str, problems: Sequence[Problem], advice: str = _STOPPED) -> list[str]:
    """Tell of problems in the committed files, in parts of a page; without any there are none."""
    if not problems:
        return []
    rows = [[code(p.file), code(p.key), code(p.expected), code(p.found)] for p in problems]
    return [
        f"# Stopped: the committed files of {code(tenant)} are not valid",
        advice,
        table(("File", "Key", "Expected", "Found"), rows),
    ]


def _pipeline_rows(
    area: Area, agreement: Agreement, pipeline: BatchPipeline
) -> Iterable[tuple[str, str]]:
    formats = pipeline.accepted_formats(agreement)
    yield "Inbox", code(area.inbox)
    yield "Formats", ", ".join(formats)
    if pipeline.callable is not None:
        yield "Tenant callable", f"{code(pipeline.callable)}, gets {pipeline.batch} batches"
    else:
        yield "Tenant script", code(pipeline.script)
    yield "Collection", code(_target(area.tenant, pipeline))
    rejects = f"{naming.database(area.tenant)}.{naming.REJECTS_COLLECTION}"
    yield (
        "Refused rows",
        f"to {code(rejects)}; more than {pipeline.max_reject_ratio:.2%} fail a file",
    )
    yield "Declared columns", _columns(pipeline) or "none, types are inferred"
    yield "Read as missing", ", ".join(code(repr(text)) for text in pipeline.missing)
    if pipeline.xml_row is not None:
        yield "XML row", code(pipeline.xml_row)
    yield "CPU", f"{pipeline.resources.cpu}"
    yield "Memory", _size(pipeline.resources.memory or agreement.service_agreement.max_memory)
    timeout = pipeline.resources.timeout
    yield "Timeout", "none" if timeout is None else f"{timeout.text} ({timeout.seconds} s)"


def _agreement_rows(agreement: Agreement) -> Iterable[tuple[str, str]]:
    service, data = agreement.service_agreement, agreement.data_constraints
    rate = service.max_throughput
    above = {"queue": "wait", "reject": "are rejected"}[service.on_concurrency_limit]
    yield "File types", ", ".join(data.file_types)
    yield "Largest file", _size(data.max_file_size)
    yield "Throughput, all ingestions together", f"{rate.text} ({rate.bytes_per_second:,} bytes/s)"
    yield "Concurrent ingestions", f"{service.max_concurrent_ingestions}; further files {above}"
    yield "Space in the staging area", _size(service.storage_space_staging)
    yield "Memory of one ingestion", _size(service.max_memory)
    settled = agreement.objectives.settled_within
    yield "Files settled within", "not promised" if settled is None else _promise(settled)
    yield "Plan", f"{agreement.plan} (priority {agreement.priority})"
    yield "Contacts", ", ".join(code(contact) for contact in agreement.contacts)


def _advice(area: Area) -> str:
    dag = naming.dag_id(area.tenant, area.subdirectory)
    return _ADVICE.format(tenant=area.tenant, subdirectory=area.subdirectory, dag=dag)


def _target(tenant: str, pipeline: BatchPipeline) -> str:
    return f"{naming.database(tenant)}.{pipeline.collection}"


def _columns(pipeline: BatchPipeline) -> str:
    return ", ".join(f"{code(name)} {kind}" for name, kind in pipeline.columns.items())


def _promise(limit: Duration) -> str:
    return f"{limit.text} ({limit.seconds} s) of their arrival; else contacts and operator are told"


def _size(size: Size) -> str:
    return f"{size.text} ({size.bytes:,} bytes)"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: object) -> str:
    """Write tenants' text so that it cannot become Markdown, nor trouble Airflow's database."""
    flat = journal.one_line(" ".join(str(text).split()))
    return "`{}`".format(flat.replace("`", "'").replace("|", r"\|")) if flat else ""
