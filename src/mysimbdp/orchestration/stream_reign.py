"""The supervision of one stream app in a triggerer, with the platform's real parts."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import pymongo

from mysimbdp import errors, naming, registry, settings
from mysimbdp.settings import Settings
from mysimbdp.streaming import app_log, process
from mysimbdp.streaming.causes import Cause, stopped
from mysimbdp.streaming.orders import Order
from mysimbdp.streaming.process import Program
from mysimbdp.streaming.slot import Launch
from mysimbdp.streaming.standing import Sums
from mysimbdp.streaming.store import StreamStore, Wish
from mysimbdp.streaming.supervisor import Ending, Supervisor

if TYPE_CHECKING:
    from mysimbdp.orchestration.stream_logins import Logins

#: After its lease an app goes on for this long, until the next trigger takes it up.
HANDOVER_SECONDS = 60.0
_BEGIN_SECONDS = 300.0
_PAUSE_SECONDS = 2.0
#: A beat must not hold up the end of the triggerer, which waits 10 s.
_STORE_MILLISECONDS = 4_000

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
#: Own threads: beats that wait for a dead server must not hold up what other triggers look for.
_threads = ThreadPoolExecutor(8, thread_name_prefix="streams")


@attrs.define(kw_only=True)
class Reign:
    """One app under the supervision of this process, from taking it over to its end.

    Attributes:
        task: ends with the `Ending`; cancelling it lets the instances drain for a short time.

    """

    tenant: str
    app: str
    epoch: int
    places: Settings
    store: StreamStore
    logins: Logins
    supervisor: Supervisor = attrs.field(init=False)
    task: asyncio.Task[Ending] = attrs.field(init=False)
    _registry_version: int | None = attrs.field(default=None, init=False)

    def start(self, past: Sums, lease_seconds: float) -> None:
        """Begin to supervise."""
        self.supervisor = Supervisor(self._launching, self._beat, past)
        self.task = asyncio.create_task(self.supervisor.supervise(lease_seconds))

    async def renew(self, lease_seconds: float) -> None:
        """Go on for another lease, with the logins as they are now."""
        self.supervisor.extend(lease_seconds)
        try:
            self.logins = await in_thread(partial(_read_logins, self.tenant))
        except Exception:  # noqa: BLE001 - nothing that happens here is worth ending the app
            _log.exception("The logins of %s cannot be read; the old ones stay.", self.tenant)

    def _launching(self, wish: Wish) -> Launch:
        return Launch(
            name=naming.stream_app(self.tenant, self.app),
            program=Program(environment=process.environment(self.places)),
            order=lambda number: self._order(number, wish),
            log=app_log.in_folder(self.places.logs, self.tenant, self.app),
        )

    def _order(self, number: int, wish: Wish) -> Order:
        return Order(
            tenant=self.tenant,
            app=self.app,
            number=number,
            kafka=self.logins.kafka,
            metrics=self.logins.metrics,
            mongo_url=self.logins.mongo_url,
            platform_url=self.logins.platform_url,
            arguments=wish.arguments,
        )

    async def _beat(
        self, state: str, instances: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
    ) -> Wish | None:
        return await in_thread(partial(self._note, state, instances, facts))

    def _note(
        self, state: str, instances: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
    ) -> Wish | None:
        wish = self.store.beat(self.tenant, self.app, self.epoch, state, instances, **facts)
        self._check_registration()
        return wish

    def _check_registration(self) -> None:
        """Refuse to go on when a new publication stops or withdraws the tenant or the app."""
        try:
            version = self.places.registry.stat().st_mtime_ns
            if version != self._registry_version:
                self._registry_version = version
                registry.find_stream(self.places.registry, self.tenant, self.app)
        except (errors.TenantStoppedError, errors.TenantUnknownError) as error:
            raise stopped(Cause.TENANT_STOPPED, str(error)) from error
        except (OSError, errors.ConfigurationError):
            _log.warning("The registry cannot be read just now; the registrar writes it anew.")


async def begin(tenant: str, app: str, run_id: str, lease_seconds: float) -> Reign:
    """Take an app over and supervise it; a server that does not answer is waited for.

    Raises:
        TerminalError: a connection or secret is missing.

    """
    until = time.monotonic() + _BEGIN_SECONDS
    while True:
        try:
            reign, past = await in_thread(partial(_take_over, tenant, app, run_id))
            break
        except errors.TerminalError:
            raise
        except Exception as error:
            if time.monotonic() > until:
                raise
            _log.warning("The app cannot be taken over yet: %s", error)
            await asyncio.sleep(_PAUSE_SECONDS)
    reign.start(past, lease_seconds)
    return reign


async def in_thread(work: partial[_T]) -> _T:
    """Do what blocks in a thread of the streams'."""
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


def _take_over(tenant: str, app: str, run_id: str) -> tuple[Reign, Sums]:
    logins = _read_logins(tenant)
    store = StreamStore(_platform(logins.platform_url)[naming.PLATFORM_DATABASE])
    before = store.read(tenant, app)
    past = Sums()
    if before.get("run_id") == run_id:
        past = Sums(
            total=before.get("total", 0),
            rejected=before.get("rejected", 0),
            last_message_at=before.get("last_message_at"),
        )
    reign = Reign(
        tenant=tenant,
        app=app,
        epoch=store.take_over(tenant, app, run_id),
        places=settings.from_environment(),
        store=store,
        logins=logins,
    )
    return reign, past


def _read_logins(tenant: str) -> Logins:
    # It brings the hooks of Airflow, which whoever only makes a trigger should not wait for.
    from mysimbdp.orchestration import stream_logins  # noqa: PLC0415

    return stream_logins.read(tenant)


@functools.lru_cache(maxsize=2)
def _platform(url: str) -> pymongo.MongoClient[dict[str, Any]]:
    """Share one client between all apps of this process."""
    return pymongo.MongoClient(url, timeoutMS=_STORE_MILLISECONDS, tz_aware=True)
