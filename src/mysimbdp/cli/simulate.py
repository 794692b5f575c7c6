"""`mysimbdp simulate`: send sample messages to a stream app's topic, as its devices would."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from mysimbdp import errors, messaging, naming, registry
from mysimbdp import settings as deployment
from mysimbdp.samples import producer, streams
from mysimbdp.secrets import SecretStore

#: A bar that is drawn for every message would be the slowest part.
_DRAW_SECONDS = 0.1
_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(simulate)


def simulate(
    tenant: Annotated[str, typer.Argument(help="The tenant, for example tenant1.")],
    app: Annotated[str, typer.Argument(help="One of its stream apps, for example weather.")],
    *,
    delay: Annotated[
        float, typer.Option(min=0, help="Seconds between messages; 0 is as fast as possible.")
    ] = 1.0,
    count: Annotated[
        int | None, typer.Option(min=1, help="How many to send; by default until Ctrl-C.")
    ] = None,
    bad: Annotated[
        int, typer.Option(min=0, max=100, help="How many in a hundred are bad, to be rejected.")
    ] = 0,
) -> None:
    """Send rows of the sample data to the topic that a stream app reads, with the tenant's login.

    Ends when all messages have arrived. Ctrl-C ends it in order and says how many did.
    """
    settings = deployment.from_environment()
    name, samples = _find_samples(settings, tenant, app)
    login = messaging.tenant_login(settings, SecretStore(settings.secrets), tenant)
    topic = naming.topic(tenant, name)
    stop = _stop_on_signals()
    begin = time.monotonic()
    with _progress() as progress:
        sent = producer.send(
            login,
            topic,
            itertools.islice(samples(0, bad), count),
            delay_seconds=delay,
            stop=stop,
            on_progress=_Bar(progress, progress.add_task(topic, total=count, rate="")),
        )
    seconds = max(time.monotonic() - begin, 1e-3)
    Console(highlight=False, soft_wrap=True, markup=False).print(
        f"Delivered {sent.delivered:,} messages to {topic}{f', {sent.bad:,} bad' if bad else ''}: "
        f"{seconds:.1f} s, {sent.delivered / seconds:,.1f} msg/s."
    )
    if count is not None and sent.delivered < count:
        raise typer.Exit(_INTERRUPTED)


def _find_samples(
    settings: deployment.Settings, tenant: str, app: str
) -> tuple[str, streams.Samples]:
    """Return a topic of the app, without its prefix, and the samples for it."""
    _, registered = registry.find_stream(settings.registry, tenant, app)
    for topic in registered.topics:
        if (tenant, topic) in streams.SOURCES:
            return topic, streams.SOURCES[tenant, topic]
    known = ", ".join(naming.topic(*one) for one in streams.SOURCES)
    raise errors.UsageError(
        f"There is no sample data for {naming.stream_app(tenant, app)}, only for the topics "
        f"{known}. Send messages with a program of your own, with the tenant's login."
    )


def _stop_on_signals() -> threading.Event:
    """Let the first signal end the sending in order, and a second one of its kind at once."""
    stop = threading.Event()

    def end(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    return stop


class _Bar:
    """Draw how far it has come, a few times a second."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._begin = self._drawn_at = time.monotonic()

    def __call__(self, sent: producer.Sent) -> None:
        now = time.monotonic()
        if now - self._drawn_at < _DRAW_SECONDS:
            return
        self._drawn_at = now
        rate = f"{sent.delivered / (now - self._begin):,.0f} msg/s"
        self._progress.update(self._task, completed=sent.delivered, rate=rate)


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
