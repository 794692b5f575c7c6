"""The `mysimbdp` command: one line for a user's error, no traceback."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from mysimbdp import errors
from mysimbdp.cli import (
    airflow,
    alerts,
    check,
    demo,
    demo_alert,
    ingestions,
    kafka_login,
    simulate,
    stack,
    stage,
    streams,
    tenant,
)

app = typer.Typer(
    name="mysimbdp",
    help="Run and use the multi-tenant ingestion platform.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for part in (
    *(check, stage, simulate, ingestions, alerts),
    *(stack, kafka_login, demo, demo_alert, airflow),
):
    part.register(app)
app.add_typer(tenant.app, name="tenant")
app.add_typer(streams.app, name="streams")


def main() -> None:
    """Run the command line; a platform error becomes one line and exit code 1."""
    try:
        app()
    except errors.PlatformError as error:
        Console(stderr=True, soft_wrap=True, markup=False).print(f"mysimbdp: {error}", style="red")
        sys.exit(1)
