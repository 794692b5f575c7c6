"""`mysimbdp stage`: put files into a tenant's inbox."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from mysimbdp import errors, registry, settings
from mysimbdp.reporting import journal, report
from mysimbdp.staging import area, delivery

#: Below this a copy is over before a bar could be read.
_LARGE_BYTES = 64 * report.MEGABYTE


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(stage)


def stage(
    tenant: Annotated[str, typer.Argument(help="The tenant, for example tenant2.")],
    subdirectory: Annotated[str, typer.Argument(help="One of its registered subdirectories.")],
    files: Annotated[list[Path], typer.Argument(help="The files to copy there.")],
) -> None:
    """Copy files into a tenant's inbox, where each appears whole or not at all.

    Nothing is copied unless all files can be. The platform takes them from there by itself.
    """
    places = settings.from_environment()
    registry.find(places.registry, tenant, subdirectory)
    inbox = area.Area(places.staging, tenant, subdirectory).inbox
    if not inbox.is_dir():
        raise errors.StagingError(
            f"The inbox {inbox} of {tenant} does not exist yet; the registrar makes it within a "
            "minute while the platform runs (mysimbdp status)."
        )
    _refuse_all_at_once(problems(files, inbox))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for file in files:
        console.print(journal.one_line(f"Staged {_deliver(file, inbox)}"))
    console.print(f"Follow: mysimbdp ingestions --tenant {tenant}")


def problems(files: Sequence[Path], inbox: Path) -> list[str]:
    """List why the files cannot be staged together, one sentence for each problem."""
    found = [problem for file in files if (problem := delivery.problem(file, inbox)) is not None]
    names = Counter(file.name for file in files)
    twice = [name for name, count in names.items() if count > 1]
    return found + [f"{name} is given more than once; stage one after the other." for name in twice]


def _refuse_all_at_once(found: Sequence[str]) -> None:
    if not found:
        return
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    for problem in found:
        console.print(journal.one_line(f"mysimbdp: {problem}"), style="red")
    console.print("mysimbdp: Nothing was staged.", style="red")
    raise typer.Exit(code=1)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """End in order, as on Ctrl-C, so that no hidden half of a file takes the tenant's space."""
    raise SystemExit(128 + number)


def _deliver(file: Path, inbox: Path) -> Path:
    size = file.stat().st_size
    with _progress(size) as progress:
        task = progress.add_task(journal.one_line(file.name), total=size)
        return delivery.deliver(file, inbox, partial(progress.advance, task))


def _progress(size: int) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=size < _LARGE_BYTES or not console.is_terminal,
        transient=True,
    )
