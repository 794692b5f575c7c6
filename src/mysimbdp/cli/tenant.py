"""`mysimbdp tenant`: list, add and remove tenants. The registrar does the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import attrs
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mysimbdp import errors, naming, settings
from mysimbdp.agreements.model import FileType
from mysimbdp.registrar import mongo, overview, skeleton
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

app = typer.Typer(help="List, add and remove tenants.", no_args_is_help=True)

_COLOURS = {"live": "green", "stopped": "red", "registering": "yellow", "withdrawn": "bright_black"}
_PIPED_WIDTH = 100_000

TenantArgument = Annotated[str, typer.Argument(help="The tenant, for example tenant2.")]


@app.command("list")
def list_tenants(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False
) -> None:
    """List the tenants: plan, state, subdirectories, stream apps, slots and limits.

    A tenant is live, stopped (its files have problems), registering (the registrar is at it) or
    withdrawn (its agreement is gone, its data is still there).
    """
    found = overview.survey(settings.from_environment())
    if as_json:
        typer.echo(json.dumps([attrs.asdict(one) for one in found], indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_PIPED_WIDTH, highlight=False)
    console.print(_table(found) if found else "No tenant is committed yet (mysimbdp tenant add).")


@app.command()
def add(
    tenant: TenantArgument,
    file_types: Annotated[
        list[FileType],
        typer.Option("--file-type", help="A file type it may send.", case_sensitive=False),
    ] = [FileType.CSV],  # noqa: B006 - typer reads it, nobody changes it
    contact: Annotated[
        str | None, typer.Option("--contact", help="Who hears of rejected files (e-mail).")
    ] = None,
) -> None:
    """Write the first files of a new tenant, to be edited and committed."""
    home = settings.from_environment().home
    files = skeleton.add(home, tenant, file_types, contact or f"{tenant}@example.com")
    console = _console()
    for path in files:
        console.print(f"Wrote {path}")
    unknown_contact = "" if contact else " and the contact"
    console.print(
        f"Edit the limits{unknown_contact} in constraints/{tenant}.yaml and the code in "
        f"tenant_pipelines/{tenant}/, run mysimbdp check, then commit. "
        "A running platform takes the tenant up within a minute (mysimbdp tenant list)."
    )


@app.command()
def remove(
    tenant: TenantArgument,
    *,
    with_data: Annotated[
        bool, typer.Option("--purge", help="Delete its data too, once it is withdrawn.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Withdraw a tenant: remove its agreement, so that it can send and log in no more.

    Its data stays. With --purge its database, topics, consumer groups, staging area, secrets, logs
    and ledger entries are deleted; the reports of its ingestions stay, they are the provider's
    record.
    """
    places = settings.from_environment()
    agreement = places.constraints / f"{tenant}.yaml"
    if not naming.is_tenant(tenant) or not (with_data or agreement.exists()):
        raise errors.UsageError(
            f"There is no tenant {tenant} to remove (mysimbdp tenant list).", tenant=tenant
        )
    if not yes:
        _ask(tenant, with_data=with_data)
    console = _console()
    if agreement.exists():
        agreement.unlink()
        console.print(
            f"Removed constraints/{tenant}.yaml: a running platform withdraws {tenant} within a "
            "minute. Commit this."
        )
    if with_data:
        _purge(places, tenant, console)
    else:
        console.print(
            f"Its data stays; mysimbdp tenant remove {tenant} --purge deletes it. Remove "
            f"tenant_pipelines/{tenant}/ too if it does not come back: mysimbdp check asks for "
            "its agreement otherwise."
        )


def _ask(tenant: str, *, with_data: bool) -> None:
    if not with_data:
        typer.confirm(f"Withdraw {tenant}? Its ingestion stops, its data stays.", abort=True)
        return
    typed = typer.prompt(f"This deletes all data of {tenant}. Type its name to go on")
    if typed != tenant:
        raise errors.UsageError(f"Nothing was changed: expected {tenant}, found {typed!r}.")


def _purge(places: Settings, tenant: str, console: Console) -> None:
    secrets = SecretStore(places.secrets)
    from mysimbdp.registrar import kafka, purge  # noqa: PLC0415 - slow to load

    coredms, messages = mongo.Coredms(places, secrets), kafka.Kafka(places, secrets)
    try:
        with console.status(f"Waiting until {tenant} is withdrawn"):
            purge.await_withdrawal(places, coredms, messages, tenant)
        with console.status(f"Deleting the data of {tenant}"):
            purge.purge(places, secrets, coredms, messages, tenant)
    finally:
        coredms.close()
        messages.close()
    console.print(
        f"Deleted the database, topics, consumer groups, staging area, secrets, logs and ledger "
        f"entries of {tenant}. Its reports stay (mysimbdp ingestions)."
    )


def _console() -> Console:
    return Console(soft_wrap=True, highlight=False, markup=False)


def _table(found: Sequence[overview.Standing]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("Tenant", "Plan", "State", "Subdirectories", "Streams"):
        table.add_column(heading)
    table.add_column("Slots", justify="right")
    table.add_column("Limits")
    for one in found:
        table.add_row(
            one.tenant,
            one.plan or "",
            Text.assemble((one.state, _COLOURS[one.state]), *_first_problem(one)),
            ", ".join(one.subdirectories),
            ", ".join(one.streams),
            "" if one.slots is None else str(one.slots),
            _limits(one),
        )
    return table


def _first_problem(one: overview.Standing) -> list[str]:
    if not one.problems:
        return []
    more = len(one.problems) - 1
    return [f": {one.problems[0]}", *([f" (and {more} more)"] if more else [])]


def _limits(one: overview.Standing) -> str:
    if one.limits is None:
        return ""
    limits = one.limits
    streams = (
        f", sends {limits['max_publish_rate']}, reads {limits['max_consume_rate']}"
        if "max_publish_rate" in limits
        else ""
    )
    return (
        f"{'/'.join(limits['file_types'])} up to {limits['max_file_size']}, "
        f"{limits['max_throughput']}, staging {limits['storage_space_staging']}, "
        f"memory {limits['max_memory']}{streams}"
    )
