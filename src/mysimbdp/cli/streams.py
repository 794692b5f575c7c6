"""`mysimbdp streams`: list, start, stop, scale, restart and reset stream apps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import attrs
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mysimbdp import naming, registry, settings
from mysimbdp.cli import stream_orders
from mysimbdp.reporting import journal, tables
from mysimbdp.streaming import standing
from mysimbdp.streaming.request import Action, Request
from mysimbdp.streaming.standing import Standing

app = typer.Typer(
    help="List, start, stop, scale, restart and reset stream apps.", no_args_is_help=True
)

_COLOURS = {
    standing.RUNNING: "green",
    standing.STOPPED: "bright_black",
    standing.FAILED: "red",
    standing.LOST: "red",
}

TenantArgument = Annotated[str, typer.Argument(help="The tenant, for example tenant1.")]
AppArgument = Annotated[str, typer.Argument(help="One of its stream apps, for example weather.")]


@app.command("list")
def list_streams(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the stream apps: what each shall do, what it does, and how far behind it is."""
    found = list(_standings(tenant))
    if as_json:
        typer.echo(json.dumps([attrs.asdict(one) for one in found], indent=2))
        return
    console = tables.open_console()
    if not found:
        console.print("No stream app is registered.")
        return
    console.print(_table(found))
    for one in found:
        if told := _note(one):
            console.print(Text(journal.one_line(f"{one.tenant}.{one.app}: {told}")))


@app.command()
def start(
    tenant: TenantArgument,
    name: AppArgument,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="For a script: its command line, after --.")
    ] = None,
    instances: Annotated[
        int | None, typer.Option(min=1, help="How many; by default as registered.")
    ] = None,
) -> None:
    """Start an app and wait until it runs."""
    given = tuple(arguments) if arguments else None
    _give(tenant, name, Action.START, instances=instances, arguments=given)


@app.command()
def stop(tenant: TenantArgument, name: AppArgument) -> None:
    """Stop an app: it finishes what it has taken, commits, and says what it did."""
    _give(tenant, name, Action.STOP)


@app.command()
def scale(
    tenant: TenantArgument,
    name: AppArgument,
    instances: Annotated[int, typer.Argument(min=1, help="How many there shall be.")],
) -> None:
    """Change the number of instances of a running app."""
    _give(tenant, name, Action.SCALE, instances=instances)


@app.command()
def restart(tenant: TenantArgument, name: AppArgument) -> None:
    """Let all instances of a running app drain, and start them anew."""
    _give(tenant, name, Action.RESTART)


@app.command()
def reset(tenant: TenantArgument, name: AppArgument) -> None:
    """Have a stopped app read its topics from their oldest message when it is started again.

    What was stored before is recognised and not stored twice, unless the topic is another one now.
    """
    with Console(stderr=True).status(f"reset {naming.stream_app(tenant, name)}"):
        sentence = stream_orders.reset(tenant, name)
    typer.echo(journal.one_line(sentence))


def _give(
    tenant: str,
    name: str,
    action: Action,
    instances: int | None = None,
    arguments: tuple[str, ...] | None = None,
) -> None:
    asked = Request(
        tenant=tenant, app=name, action=action, instances=instances, arguments=arguments
    )
    with Console(stderr=True).status(f"{action} {asked.name}"):
        sentence = stream_orders.give(asked)
    typer.echo(journal.one_line(sentence))


def _standings(tenant: str | None) -> Iterator[Standing]:
    """Read how all apps stand that are registered, or were ever started."""
    registered = {
        (one.tenant, name)
        for one in registry.read(settings.from_environment().registry)
        for name in (one.registration.streams if one.registration else ())
    }
    with stream_orders.open_streams() as streams:
        documents = {(one["tenant"], one["app"]): one for one in streams.read_all(tenant)}
    for key in sorted(registered | documents.keys()):
        if tenant in (None, key[0]):
            yield standing.of(documents.get(key, {}), *key)


def _table(found: list[Standing]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("App", "Desired", "Actual"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Instances", "Lag", "Messages/s", "Messages", "Rejected"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Last message", no_wrap=True)
    for one in found:
        table.add_row(
            naming.stream_app(one.tenant, one.app),
            one.desired,
            Text(one.actual, _COLOURS.get(one.actual, "yellow")),
            f"{len(one.instances)}/{one.wanted_instances}",
            "" if one.lag is None else f"{one.lag:,}",
            f"{one.rate:,.1f}" if one.instances else "",
            f"{one.total:,}",
            f"{one.rejected:,}",
            one.last_message_at or "",
        )
    return table


def _note(one: Standing) -> str:
    cause = f"{one.cause}: " if one.cause else ""
    return f"{cause}{one.error}" if one.error else one.advice or ""
