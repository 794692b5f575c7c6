"""`mysimbdp demo`: bring the sample files through the running platform and show the result."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import typer
from rich.console import Console

from mysimbdp import coredms, errors, messaging, naming, registry
from mysimbdp import settings as deployment
from mysimbdp.reporting import report, store, tables
from mysimbdp.samples import public, taxi, violations
from mysimbdp.samples.violations import Outcome
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings
from mysimbdp.staging import delivery
from mysimbdp.staging.area import Area

TENANTS = ("tenant1", "tenant2")
#: tenant2 is held to 5MB/s: what it gets is small.
TAXI_ROWS = {"trips.csv": 100_000, "few.csv": 20_000, "box.csv": 2_000}
_REGISTER_SECONDS = 120.0
_SETTLE_SECONDS = 300.0
_LOOK_SECONDS = 0.5
_FINAL = (report.State.LOADED, report.State.REJECTED, report.State.FAILED)


@attrs.frozen(kw_only=True)
class Staged:
    """A sample in an inbox, and what should become of it."""

    tenant: str
    subdirectory: str
    name: str
    outcome: Outcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo() -> None:
    """Stage the sample files of both sample tenants, wait until all are settled, show the result.

    Files that were staged by an earlier run are not staged again. Exit code 0 means that every
    file ended as it should.
    """
    settings = deployment.from_environment()
    console = tables.open_console()
    with (
        store.opened(coredms.coredms_url(settings, SecretStore(settings.secrets))) as reports,
        console.status("waiting for the sample tenants to be registered") as line,
    ):
        _await_tenants(settings)
        staged = []
        for batch in _batches(settings):
            line.update("staging and ingesting the sample files")
            staged += batch
            _await_settled(reports, staged)
        found = _found(reports, staged)
    tables.print_ingestions(found, console)
    _tell_where_to_look(settings, console)
    _compare(staged, found)


def _await_tenants(settings: Settings) -> None:
    deadline = time.monotonic() + _REGISTER_SECONDS
    while True:
        live = {one.tenant for one in registry.read(settings.registry) if not one.stopped}
        if live.issuperset(TENANTS):
            return
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(set(TENANTS) - live))
            raise errors.StackError(
                f"The sample tenants are not registered after {_REGISTER_SECONDS:.0f} s (missing: "
                f"{missing}). See mysimbdp check, mysimbdp status and {settings.logs}."
            )
        time.sleep(_LOOK_SECONDS)


def _batches(settings: Settings) -> Iterator[list[Staged]]:
    """Stage what can be judged together; what fills the staging area comes last and alone."""
    with tempfile.TemporaryDirectory(prefix="mysimbdp-samples-") as folder:
        good = _write_good(Path(folder))
        yield [_deliver(settings, path, tenant, pipeline) for path, tenant, pipeline in good]
    fillers = [sample for sample in violations.SAMPLES if sample.code == "staging_full"]
    yield [_plant(settings, sample) for sample in violations.SAMPLES if sample not in fillers]
    for sample in fillers:
        inbox = Area(settings.staging, sample.tenant, sample.subdirectory).inbox
        before = set(inbox.iterdir())
        planted = _plant(settings, sample)
        yield [planted]
        for path in set(inbox.iterdir()) - before:
            path.unlink()  # the unfinished upload that took the room


def _write_good(folder: Path) -> list[tuple[Path, str, str]]:
    public.write_public(folder)
    for seed, (name, rows) in enumerate(TAXI_ROWS.items()):
        taxi.write_taxi(folder / name, rows=rows, seed=seed)
    return [
        (folder / "trips.csv", "tenant1", "taxi"),
        (folder / public.WEATHER, "tenant1", "weather"),
        (folder / "few.csv", "tenant2", "taxi"),
        (folder / public.CARS_ARRAY, "tenant2", "cars"),
        (folder / public.CARS_LINES, "tenant2", "cars"),
        (folder / public.STATIONS, "tenant2", "stations"),
        (folder / "box.csv", "tenant2", "blackbox"),
    ]


def _deliver(settings: Settings, path: Path, tenant: str, subdirectory: str) -> Staged:
    area = Area(settings.staging, tenant, subdirectory)
    if not _is_known(area, path.name):
        delivery.deliver(path, area.inbox, lambda _bytes: None)
    return Staged(tenant=tenant, subdirectory=subdirectory, name=path.name, outcome=Outcome.LOADED)


def _plant(settings: Settings, sample: violations.Sample) -> Staged:
    """Put a sample into its inbox, unless an earlier run did; its name tells."""
    area = Area(settings.staging, sample.tenant, sample.subdirectory)
    with tempfile.TemporaryDirectory() as folder:
        name = sample.make(Path(folder)).name
    if not _is_known(area, name):
        sample.make(area.inbox)
    return Staged(
        tenant=sample.tenant,
        subdirectory=sample.subdirectory,
        name=name,
        outcome=sample.outcome,
    )


def _is_known(area: Area, name: str) -> bool:
    """Tell whether an earlier run brought a file of that name here."""
    return (
        (area.inbox / name).is_symlink()
        or any(
            path.name == name
            for state in naming.STAGING_FOLDERS
            for path in (area.root / area.tenant / state / area.subdirectory).rglob("*")
        )
        or (area.inbox / name).exists()
    )


def _await_settled(reports: store.ReportStore, staged: Sequence[Staged]) -> None:
    expected = sum(one.outcome is not Outcome.WAITS for one in staged)
    deadline = time.monotonic() + _SETTLE_SECONDS
    while len(_settled(_found(reports, staged))) < expected:
        if time.monotonic() > deadline:
            raise errors.StackError(
                f"Not all sample files are settled after {_SETTLE_SECONDS:.0f} s. See mysimbdp "
                "ingestions, mysimbdp status and the Airflow UI."
            )
        time.sleep(_LOOK_SECONDS)


def _found(reports: store.ReportStore, staged: Sequence[Staged]) -> list[report.IngestionReport]:
    """Find the first report of each sample, in the order of staging."""
    known: dict[tuple[str, str, str], report.IngestionReport] = {}
    for one in reports.find():
        known.setdefault((one.tenant, one.pipeline, one.name), one)
    keys = [(one.tenant, one.subdirectory, one.name) for one in staged]
    return [known[key] for key in keys if key in known]


def _settled(found: Sequence[report.IngestionReport]) -> list[report.IngestionReport]:
    return [one for one in found if one.state in _FINAL]


def _compare(staged: Sequence[Staged], found: Sequence[report.IngestionReport]) -> None:
    """Fail when a file did not end as it should."""
    ended = {(one.tenant, one.pipeline, one.name): one.state for one in found}
    for one in staged:
        state = ended.get((one.tenant, one.subdirectory, one.name))
        if one.outcome is not Outcome.WAITS and state != report.State(one.outcome):
            raise errors.StackError(
                f"{one.name} of {naming.dag_id(one.tenant, one.subdirectory)} ended as {state}, "
                f"expected {one.outcome}."
            )


def _tell_where_to_look(settings: Settings, console: Console) -> None:
    secrets = SecretStore(settings.secrets)
    console.print(f"Airflow   {settings.airflow_url}")
    for user, secret in [("admin", "airflow/admin")] + [
        (naming.login(tenant), f"airflow/tenants/{tenant}") for tenant in TENANTS
    ]:
        console.print(f"          login {user}, password {secrets.read(secret)}", highlight=False)
    console.print(f"MongoDB   {coredms.mongo_address(settings)} (mysimbdp coredms-url --tenant T)")
    console.print(f"Kafka     {messaging.address(settings)} (mysimbdp kafka-login --tenant T)")
    console.print(f"Mailbox   {settings.state / 'mail'}")
    console.print(f"Files     {settings.staging}")
