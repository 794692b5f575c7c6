"""Run a tenant's script as an instance: start it, hold it to its limits, and measure it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable

import attrs

from mysimbdp import errors
from mysimbdp.pipelines import launch, protocol, sandbox, verdict
from mysimbdp.pipelines.causes import Cause
from mysimbdp.pipelines.family import Family
from mysimbdp.pipelines.registration import StreamApp
from mysimbdp.pipelines.watchdog import Watchdog
from mysimbdp.registry import RegisteredTenant
from mysimbdp.reporting import tenant_log
from mysimbdp.settings import Settings
from mysimbdp.streaming import causes
from mysimbdp.streaming.orders import BEAT_SECONDS, Order, Status
from mysimbdp.streaming.outside import Outside, group_of, opened
from mysimbdp.streaming.report import Report

#: From SIGTERM to the end of the whole family.
DRAIN_SECONDS = 10.0
#: What a script may print in this time is bounded as in a batch run.
_LOG_REFILL_SECONDS = 60.0

Tell = Callable[[Status], None]
Log = Callable[[tenant_log.Level, str], None]


def run_script(  # noqa: PLR0917 - the instance hands over all that it has
    order: Order,
    registered: RegisteredTenant,
    app: StreamApp,
    settings: Settings,
    stop: threading.Event,
    publish: Callable[[Report], None],
    tell: Tell,
) -> None:
    """Run the script until `stop`; then ask it to end with SIGTERM, and kill it if it does not.

    A group is the work of all instances, and from outside nobody sees whose: the first instance
    measures for all. Nothing of the script is left when this returns or raises. Runs in the
    instance's main thread.

    Raises:
        IngestionFailedError: it ended by itself or broke a limit; `facts["cause"]` says which.
        IngestionInterruptedError: somebody else killed it.
        StreamStoppedError: a topic does not exist, or there is no agreement.

    """
    with contextlib.ExitStack() as exits:
        outside = None
        if order.number == 0:
            outside = exits.enter_context(opened(order, app, publish))
            if not outside.begin(stop, tell):
                return
            exits.callback(_tell_all, outside, tell)
        _Run(
            order=order,
            app=app,
            limits=_limits(registered, app),
            folder=str(settings.tenant_pipelines / order.tenant),
            log=_log_for(order, settings),
            outside=outside,
            tell=tell,
        ).run(stop)


def _tell_all(outside: Outside, tell: Tell) -> None:
    """Say what the last look shows, after the script has ended."""
    outside.finish()
    tell(outside.gauge.status("draining"))


def environment(order: Order, app: StreamApp) -> dict[str, str]:
    """Return what a script knows of the platform: two servers, and its tenant's logins there."""
    kafka = order.kafka
    return {
        "KAFKA_BROKER": kafka["bootstrap.servers"],
        "KAFKA_USERNAME": kafka["sasl.username"],
        "KAFKA_PASSWORD": kafka["sasl.password"],
        "KAFKA_SECURITY_PROTOCOL": kafka["security.protocol"],
        "KAFKA_SASL_MECHANISM": kafka["sasl.mechanism"],
        "KAFKA_GROUP": group_of(order, app),
        "MONGO_URL": order.mongo_url,
    }


@attrs.frozen(kw_only=True)
class _Run:
    """One life of the script."""

    order: Order
    app: StreamApp
    limits: verdict.Limits
    folder: str
    log: Log
    outside: Outside | None
    tell: Tell

    def run(self, stop: threading.Event) -> None:
        sandbox.adopt_orphans()
        family = Family()
        with (
            tempfile.TemporaryDirectory(prefix="mysimbdp-") as scratch,
            contextlib.ExitStack() as exits,
        ):
            try:
                self._attend(scratch, family, stop, exits)
            finally:
                family.end()  # before the threads are joined: they may wait for a member

    def _attend(
        self, scratch: str, family: Family, stop: threading.Event, exits: contextlib.ExitStack
    ) -> None:
        process = launch.start(self._request(), environment(self.order, self.app), scratch)
        family.found(process.pid)
        exits.callback(process.wait)
        watchdog = launch.watch(process, family, self.limits, exits)
        launch.pass_log_on(
            process,
            lambda line: self.log("INFO", f"| {line}"),
            exits,
            refill_seconds=_LOG_REFILL_SECONDS,
        )
        if self.outside is not None:
            self.outside.start()
        while process.poll() is None and not stop.is_set():
            self._tell("running")
            stop.wait(BEAT_SECONDS)
        if process.returncode is None:
            self._let_go(process, family)
        else:
            self._judge(process.returncode, watchdog)

    def _request(self) -> protocol.Request:
        return protocol.Request(
            folder=self.folder,
            entry=self.app.script or "",
            is_script=True,
            arguments=self.order.arguments or self.app.arguments,
            memory_bytes=self.limits.memory_bytes,
            parent=os.getpid(),
        )

    def _let_go(self, process: subprocess.Popen[bytes], family: Family) -> None:
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            self._tell("draining")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.log("INFO", f"ended on request with exit code {process.wait(BEAT_SECONDS)}")
                return
        family.end()
        self.log(
            "WARNING",
            f"did not end within {DRAIN_SECONDS:g} s of SIGTERM and was killed; what it had not "
            "committed is read again",
        )

    def _judge(self, exit_code: int, watchdog: Watchdog) -> None:
        watchdog.stop()
        try:
            verdict.check_end(exit_code, watchdog.verdict, self.limits, Cause.SCRIPT_ERROR)
        except errors.PlatformError as error:
            self.log("ERROR", str(error))
            raise
        self.log("ERROR", "ended by itself")
        raise verdict.failed(
            Cause.CRASH,
            "The script ended by itself with exit code 0, though nobody asked it to; expected one "
            "that reads messages until it gets SIGTERM.",
        )

    def _tell(self, state: str) -> None:
        outside = self.outside
        if outside is None:
            self.tell(Status(state=state))
        elif outside.fault is not None and state == "running":
            self.tell(outside.gauge.status("waiting"))
        else:
            self.tell(outside.gauge.status(state))


def _limits(registered: RegisteredTenant, app: StreamApp) -> verdict.Limits:
    if registered.agreement is None:
        raise causes.stopped(
            causes.Cause.TENANT_STOPPED, f"{registered.tenant} has no valid agreement."
        )
    timeout = app.resources.timeout
    return verdict.Limits(
        memory_bytes=app.memory_bytes(registered.agreement),
        timeout_seconds=None if timeout is None else timeout.seconds,
    )


def _log_for(order: Order, settings: Settings) -> Log:
    log = tenant_log.in_folder(settings.logs, order.tenant)

    def write(level: tenant_log.Level, text: str) -> None:
        log.write(level, f"{order.app}.stream", f"instance-{order.number}", text)

    return write
