"""Make Airflow's metadata database and the provider's two logins, before Airflow starts.

Run as a program, with the environment of the Airflow programs: the passwords come from the secret
store and so appear on no command line. Running it again changes nothing.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils import db

from mysimbdp import settings as deployment
from mysimbdp.local_stack import airflow
from mysimbdp.secrets import SecretStore


def prepare(secrets: SecretStore) -> None:
    """Migrate the database and give both logins the role Admin and their passwords."""
    db.upgradedb()
    with get_application_builder() as builder:
        for login in (airflow.ADMIN, airflow.REGISTRAR):
            _ensure_user(builder.sm, login, secrets.ensure(f"airflow/{login}"))


def _ensure_user(security: Any, login: str, password: str) -> None:
    known = security.find_user(login)
    if known:
        security.reset_password(known.id, password)
        return
    role = security.find_role("Admin")
    if not security.add_user(login, login, "mysimbdp", f"{login}@localhost", role, password):
        raise SystemExit(f"Airflow did not make the user {login}.")


if __name__ == "__main__":
    prepare(SecretStore(deployment.from_environment().secrets))
