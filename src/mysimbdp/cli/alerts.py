"""`mysimbdp alerts`: what was promised and is or was missed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import pymongo
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from mysimbdp import coredms, naming, settings
from mysimbdp.reporting import journal, tables
from mysimbdp.reporting.alerts import AlertStore
from mysimbdp.secrets import SecretStore

_PATIENCE_MILLISECONDS = 5_000
_COLUMNS = ("since", "what", "objective", "agreed", "found", "state", "platform", "mail")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(alerts)


def alerts(
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's.")] = None,
    *,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only those that are missed now.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything recorded, as a JSON list.")
    ] = False,
) -> None:
    """List missed objectives, newest last: what was agreed and found, what was done, who was told.

    Times are local; those in the JSON list are in UTC.
    """
    places = settings.from_environment()
    url = coredms.coredms_url(places, SecretStore(places.secrets))
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(url, serverSelectionTimeoutMS=_PATIENCE_MILLISECONDS) as client:
        store = AlertStore(client[naming.PLATFORM_DATABASE])
        found = store.find(tenant, only_open=only_open)
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=_plain))
        return
    console = tables.open_console()
    if found:
        console.print(_table(found))
    else:
        console.print("No alerts.")


def _table(found: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, overflow="fold")
    for document in found:
        table.add_row(*_cells(document))
    return table


def _cells(document: Mapping[str, Any]) -> tuple[Text, ...]:
    is_open = document["state"] == "open"
    state = "open" if is_open else f"{document['ending']} {_time(document['closed_at'])}"
    cells = (
        _time(document["opened_at"]),
        f"{document['tenant']}.{document['name']}",
        document["cause"],
        document["expected"],
        document["found"],
        state,
        document["action_text"] or "",
        _mail(document),
    )
    styles = {5: "red" if is_open else "green"}
    return tuple(
        Text(journal.one_line(str(cell)), style=styles.get(number, ""))
        for number, cell in enumerate(cells)
    )


def _mail(document: Mapping[str, Any]) -> str:
    """Say which mails were sent, and why others were not."""
    sent = [one for one in document["mails"] if one["sent_at"] is not None]
    told = ", ".join(f"{one['kind']} {_time(one['sent_at'])}" for one in sent)
    if len(sent) == len(document["mails"]):
        return told
    waits = f"waits: {document['mail_error']}" if document["mail_error"] else "waits"
    return f"{told}; {waits}" if told else waits


def _time(moment: datetime) -> str:
    return f"{moment.astimezone():%m-%d %H:%M:%S}"


def _plain(value: Any) -> str:
    return journal.timestamp(value) if isinstance(value, datetime) else str(value)
