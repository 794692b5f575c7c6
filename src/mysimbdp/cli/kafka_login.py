"""The command kafka-login: what a client has to know to log in to Kafka."""

from __future__ import annotations

from typing import Annotated

import typer

from mysimbdp import errors, messaging
from mysimbdp import settings as deployment
from mysimbdp.messaging import Properties
from mysimbdp.secrets import SecretStore

_LIBRDKAFKA_ONLY = {"sasl.username", "sasl.password"}


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("kafka-login")(kafka_login)


def kafka_login(
    tenant: Annotated[
        str | None, typer.Option(help="The tenant whose login to use; else the provider's.")
    ] = None,
    *,
    java: Annotated[
        bool, typer.Option("--java", help="For clients in Java, which want the login as JAAS.")
    ] = False,
) -> None:
    """Print the client properties of a login to Kafka, key=value a line, with the password.

    As they are, they suit librdkafka and all that is built on it, such as `kcat -F FILE`. With
    --java they suit Kafka's own tools (`--command-config FILE`) and every other client in Java.
    """
    login = _login(tenant)
    for key, value in (_for_java(login) if java else login).items():
        typer.echo(f"{key}={value}")


def _login(tenant: str | None) -> Properties:
    settings = deployment.from_environment()
    secrets = SecretStore(settings.secrets)
    if tenant is None:
        return messaging.registrar_login(settings, secrets)
    try:
        return messaging.tenant_login(settings, secrets, tenant)
    except errors.SecretMissingError:
        raise errors.TenantUnknownError(
            f"There is no login to Kafka for the tenant {tenant}: it is not registered, its "
            "agreement has no streams, or the registrar has not got to it yet. "
            "`mysimbdp tenant list` shows the tenants.",
            tenant=tenant,
        ) from None


def _for_java(login: Properties) -> Properties:
    kept = {key: value for key, value in login.items() if key not in _LIBRDKAFKA_ONLY}
    if login.keys() >= _LIBRDKAFKA_ONLY:
        kind = "plain.Plain" if login.get("sasl.mechanism") == "PLAIN" else "scram.Scram"
        module = f"org.apache.kafka.common.security.{kind}LoginModule required"
        user, password = _quoted(login["sasl.username"]), _quoted(login["sasl.password"])
        kept["sasl.jaas.config"] = f"{module} username={user} password={password};"
    return {key: _escaped(value) for key, value in kept.items()}


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace('"', r"\"") + '"'


def _escaped(text: str) -> str:
    """Double the backslashes: JAAS and property files both begin an escape with one."""
    return text.replace("\\", "\\\\")
