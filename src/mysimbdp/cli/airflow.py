"""`mysimbdp airflow …`: Airflow's own command line, on the embedded stack's settings."""

from __future__ import annotations

import os
import sys

import typer

from mysimbdp import settings as deployment
from mysimbdp.local_stack import airflow
from mysimbdp.secrets import SecretStore

_TAKES_ALL = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="airflow", context_settings=_TAKES_ALL)(run_airflow)


def run_airflow(context: typer.Context) -> None:
    """Run Airflow's own command line on this stack, such as `backfill create`."""
    settings = deployment.from_environment()
    environment = airflow.environment(settings, SecretStore(settings.secrets)) | {
        "MYSIMBDP_HOME": str(settings.home),
        "MYSIMBDP_STATE": str(settings.state),
    }
    command = [sys.executable, "-m", "airflow", *context.args]
    os.execve(sys.executable, command, {**os.environ, **environment})  # noqa: S606 - no shell
