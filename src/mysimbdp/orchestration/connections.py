"""Where tasks get their clients: from Airflow connections, which operators see and change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from airflow.providers.mongo.hooks.mongo import MongoHook
from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk.exceptions import AirflowNotFoundException
from bson.codec_options import CodecOptions
from pymongo.database import Database

from mysimbdp import errors, naming, registry, settings
from mysimbdp.batch.desk import Desk
from mysimbdp.pipelines.registration import BatchPipeline
from mysimbdp.registry import RegisteredTenant
from mysimbdp.reporting.email import Mailer
from mysimbdp.settings import Settings
from mysimbdp.streaming.store import StreamStore

_SMTP_PORT = 25
_SENDER = "mysimbdp@localhost"
_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)


@contextmanager
def open_desk(tenant: str, subdirectory: str, *, even_if_stopped: bool = False) -> Iterator[Desk]:
    """Give everything that a task needs for one tenant's pipeline. Runs in a worker.

    Args:
        tenant: its id.
        subdirectory: which of its pipelines.
        even_if_stopped: finish what was admitted before the tenant's files became invalid.

    Raises:
        TenantUnknownError: it is not registered (any more).
        TenantStoppedError: its agreement or registration is not valid.
        ConfigurationError: a connection is missing.

    """
    places = settings.from_environment()
    registered, pipeline = _find(places, tenant, subdirectory, even_if_stopped=even_if_stopped)
    with (
        _mongo(naming.PLATFORM_CONNECTION) as platform,
        _mongo(naming.mongo_connection(tenant)) as own,
    ):
        yield Desk(
            settings=places,
            tenant=registered,
            subdirectory=subdirectory,
            pipeline=pipeline,
            platform=_database(platform, naming.PLATFORM_DATABASE),
            coredms=_database(own, naming.database(tenant)),
            mongo_url=mongo_url(own),
            mailer=mailer(),
        )


@contextmanager
def open_streams() -> Iterator[StreamStore]:
    """Give the wishes and states of the stream apps. Runs in a worker.

    Raises:
        ConfigurationError: the platform's connection is missing.

    """
    with _mongo(naming.PLATFORM_CONNECTION) as platform:
        yield StreamStore(_database(platform, naming.PLATFORM_DATABASE))


def url_of(connection: str) -> str:
    """Write a connection to MongoDB as one address, with its login.

    Raises:
        ConfigurationError: it is missing.

    """
    with _mongo(connection) as hook:
        return mongo_url(hook)


def mongo_url(hook: MongoHook) -> str:
    """Write a connection as the one address that a tenant script gets."""
    options = {
        key: str(value).lower() if isinstance(value, bool) else value
        for key, value in sorted(hook.extras.items())
    }
    address = hook.uri if hook.connection.schema else f"{hook.uri}/"
    return f"{address}?{urlencode(options)}" if options else address


def _find(
    places: Settings, tenant: str, subdirectory: str, *, even_if_stopped: bool
) -> tuple[RegisteredTenant, BatchPipeline]:
    if even_if_stopped:
        for registered in registry.read(places.registry):
            pipelines = registered.registration.batch if registered.registration else {}
            if registered.tenant == tenant and subdirectory in pipelines:
                return registered, pipelines[subdirectory]
    return registry.find(places.registry, tenant, subdirectory)


@contextmanager
def _mongo(connection: str) -> Iterator[MongoHook]:
    try:
        hook = MongoHook(connection)
    except AirflowNotFoundException:
        raise _missing(connection) from None
    with hook:
        yield hook


def _database(hook: MongoHook, name: str) -> Database[dict[str, Any]]:
    return hook.get_conn().get_database(name, codec_options=_AWARE)


def mailer() -> Mailer:
    """Return the mail server of the platform. Runs in a worker.

    Raises:
        ConfigurationError: its connection is missing.

    """
    try:
        connection = SmtpHook.get_connection(naming.MAIL_CONNECTION)
    except AirflowNotFoundException:
        raise _missing(naming.MAIL_CONNECTION) from None
    extra = connection.extra_dejson
    return Mailer(
        host=connection.host or "localhost",
        port=connection.port or _SMTP_PORT,
        sender=extra.get("from_email", _SENDER),
        user=connection.login or None,
        password=connection.password or None,
        starttls=not extra.get("disable_tls", False),
    )


def _missing(connection: str) -> errors.ConfigurationError:
    return errors.ConfigurationError(
        f"The Airflow connection {connection} does not exist. The registrar makes it: see whether "
        "it runs (mysimbdp status), or add it under Admin, Connections.",
        connection=connection,
    )
