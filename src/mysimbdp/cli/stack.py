"""Commands that run the embedded stack: up, down, status, coredms-url."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import attrs
import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from mysimbdp import coredms, errors
from mysimbdp import settings as deployment
from mysimbdp.local_stack import stack
from mysimbdp.local_stack.stack import Part
from mysimbdp.secrets import SecretStore

_COLOURS = {
    stack.RUNNING: "green",
    stack.STARTING: "yellow",
    stack.FAILING: "red",
    stack.STOPPED: "red",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    for command in (up, down, status):
        app.command()(command)
    app.command("coredms-url")(coredms_url)


def up() -> None:
    """Start the embedded stack in the background and wait until all of it works."""
    settings = deployment.from_environment()
    console = Console(soft_wrap=True)
    with console.status("looking around") as line:
        started = stack.up(settings, _Progress(console, line))
    if started:
        console.print(f"Airflow: {settings.airflow_url}   logs: {settings.logs}")
    else:
        console.print("The stack was already running; nothing was changed.")


def down() -> None:
    """Stop the embedded stack, and end what a crash of it may have left behind."""
    console = Console(soft_wrap=True)
    with console.status("stopping"):
        count = stack.down(deployment.from_environment())
    console.print(f"Stopped {count} processes." if count else "Nothing was running.")


def status(
    *, json: Annotated[bool, typer.Option("--json", help="Print plain JSON.")] = False
) -> None:
    """Show each part of the embedded stack; exit code 0 if all of them run."""
    parts = stack.status(deployment.from_environment())
    console = Console(soft_wrap=True)
    if json:
        console.print_json(data=[_plain(part) for part in parts])
    else:
        console.print(_table(parts))
    if any(part.state != stack.RUNNING for part in parts):
        raise typer.Exit(1)


def coredms_url(
    tenant: Annotated[
        str | None, typer.Option(help="The tenant whose login to use; else the provider's.")
    ] = None,
) -> None:
    """Print the address of coredms, the MongoDB, with the login in it."""
    settings = deployment.from_environment()
    secrets = SecretStore(settings.secrets)
    try:
        url = coredms.coredms_url(settings, secrets, tenant)
    except errors.SecretMissingError:
        if tenant is None:
            raise
        raise errors.TenantUnknownError(
            f"There is no login for the tenant {tenant}: it is not registered, or the registrar "
            "has not got to it yet. `mysimbdp tenant list` shows the tenants.",
            tenant=tenant,
        ) from None
    typer.echo(url)


class _Progress:
    def __init__(self, console: Console, line: Status) -> None:
        self._console = console
        self._line = line

    def begins(self, what: str) -> None:
        self._line.update(f"starting {what}")

    def ends(self, what: str, seconds: float) -> None:
        self._console.print(f"[green]✓[/green] {what} ready in {seconds:.1f} s")


def _plain(part: Part) -> dict[str, object]:
    since = _since(part)
    return attrs.asdict(part, filter=attrs.filters.exclude("since_seconds")) | {
        "since": since.isoformat() if since else None
    }


def _table(parts: tuple[Part, ...]) -> Table:
    table = Table("part", "state", "pid", "since")
    table.add_column("address", no_wrap=True)
    for part in parts:
        since = _since(part)
        table.add_row(
            part.name,
            f"[{_COLOURS[part.state]}]{part.state}",
            str(part.pid or ""),
            since.astimezone().strftime("%Y-%m-%d %H:%M") if since else "",
            part.address,
        )
    return table


def _since(part: Part) -> dt.datetime | None:
    if part.since_seconds is None:
        return None
    return dt.datetime.fromtimestamp(part.since_seconds, dt.UTC)
