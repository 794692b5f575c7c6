"""The platform's own ways: one ingestion without Airflow, and a file staged for the whole stack."""
# What the platform needs is loaded when it is measured, so that the peers' memory is their own.
# ruff: noqa: PLC0415

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pymongo

from bench.job import Job, NotMeasuredError
from bench.measure import Measurement
from mysimbdp import naming, settings

if TYPE_CHECKING:
    from mysimbdp.batch.desk import Desk

TENANT = "tenant1"
SUBDIRECTORY = "taxi"
COLLECTION = "taxi_trips"
RUN = "bench"
#: Older than this, a file in the inbox is taken as complete.
_AGE_SECONDS = 60
_PATIENCE_SECONDS = 600
_POLL_SECONDS = 0.02
_TERMINAL = ("loaded", "rejected", "failed")


def callable_alone(job: Job) -> Callable[[], None]:
    """Admit, ingest and settle the file as a task would: ledger, sandboxed child, counts."""
    try:
        from mysimbdp.batch import admit, ingest, settle

        desk = _desk(job)
    except ImportError as error:
        raise NotMeasuredError(str(error)) from None
    _stage(job.path, desk.area.inbox)

    def work() -> None:
        for unit in admit.admit(desk, RUN):
            for ingestion in unit:
                ingest.ingest(desk, ingestion)
        if [document["state"] for document in desk.ledger.of_run(desk.dag_id, RUN)] != ["stored"]:
            raise NotMeasuredError(_reason(desk.platform))
        settle.settle(desk, RUN)

    return work


def _desk(job: Job) -> Desk:
    """Lay out tenant1's committed agreement and registration over the benchmark's MongoDB."""
    from mysimbdp import ledger, registry
    from mysimbdp.batch.desk import Desk
    from mysimbdp.reporting.email import Mailer

    state = job.path.parent / "platform"
    shutil.rmtree(state, ignore_errors=True)
    places = settings.from_environment({"MYSIMBDP_STATE": str(state)})
    (tenant,) = (one for one in registry.load_tree(places.home) if one.tenant == TENANT)
    if tenant.registration is None:
        raise NotMeasuredError(f"the registration of {TENANT} is not valid; see mysimbdp check")
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(job.url)
    client.drop_database(naming.PLATFORM_DATABASE)
    platform = client[naming.PLATFORM_DATABASE]
    ledger.Ledger(platform).ensure_indexes()
    return Desk(
        settings=places,
        tenant=tenant,
        subdirectory=SUBDIRECTORY,
        pipeline=tenant.registration.batch[SUBDIRECTORY],
        platform=platform,
        coredms=client[job.database],
        mongo_url=job.url,
        mailer=Mailer(host="127.0.0.1", port=places.smtp_port, sender="bench@localhost"),
    )


def _stage(path: Path, inbox: Path) -> None:
    inbox.mkdir(parents=True)
    shutil.copyfile(path, inbox / path.name)
    long_ago = time.time() - _AGE_SECONDS
    os.utime(inbox / path.name, (long_ago, long_ago))


@attrs.frozen(kw_only=True)
class Stack:
    """A whole embedded stack on the benchmark's MongoDB."""

    url: str
    state: Path

    @property
    def inbox(self) -> Path:
        """Take the files."""
        return self.state / "staging" / TENANT / SUBDIRECTORY

    def warm_up(self, path: Path, rows: int) -> None:
        """Wait until the registrar and the DAG processor know the tenant: load a first file."""
        start = time.perf_counter()
        while not self.inbox.is_dir():
            if time.perf_counter() - start > _PATIENCE_SECONDS:
                raise NotMeasuredError(f"the registrar made no inbox within {_PATIENCE_SECONDS} s")
            time.sleep(_POLL_SECONDS)
        self.load(path, rows)

    def load(self, path: Path, rows: int) -> tuple[Job, Measurement]:
        """Drop a file into tenant1's inbox and wait until it is settled.

        Raises:
            NotMeasuredError: it was not loaded, or not in time.

        """
        from mysimbdp.staging import delivery

        job = Job(path=path, rows=rows, url=self.url, database=TENANT, collection=COLLECTION)
        with pymongo.MongoClient(self.url) as client:
            client[TENANT].drop_collection(COLLECTION)
            delivery.deliver(path, self.inbox, lambda _size: None)
            start = time.perf_counter()
            self._await_settled(client[naming.PLATFORM_DATABASE], path.name, start)
        return job, Measurement(seconds=time.perf_counter() - start, peak_rss_bytes=None)

    def _await_settled(self, platform: Any, name: str, start: float) -> None:
        while time.perf_counter() - start < _PATIENCE_SECONDS:
            document = platform["ingestions"].find_one({"name": name})
            if document and document["state"] in _TERMINAL:
                if document["state"] != "loaded":
                    raise NotMeasuredError(_reason(platform))
                return
            time.sleep(_POLL_SECONDS)
        raise NotMeasuredError(f"{name} was not settled within {_PATIENCE_SECONDS} s")


@contextlib.contextmanager
def stack(url: str, state: Path, ports: Mapping[str, int]) -> Iterator[Stack]:
    """Start the embedded stack with a state of its own on a MongoDB that runs; stop it at the end.

    Raises:
        NotMeasuredError: it does not start.

    """
    named = {f"MYSIMBDP_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    environment = os.environ | {"MYSIMBDP_STATE": str(state), "MONGO_URL": url} | named
    try:
        _command("up", environment)
        yield Stack(url=url, state=state)
    finally:
        with contextlib.suppress(NotMeasuredError):
            _command("down", environment)


def _command(name: str, environment: Mapping[str, str]) -> None:
    program = [sys.executable, "-c", "from mysimbdp.cli import main; main()", name]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
        raise NotMeasuredError(f"mysimbdp {name} failed: {lines[-1]}")


def _reason(platform: Any) -> str:
    document = platform["ingestions"].find_one({}, sort=[("claimed_at", -1)]) or {}
    violations = [violation["message"] for violation in document.get("violations", ())]
    return document.get("error") or " ".join(violations) or "no file was taken"
