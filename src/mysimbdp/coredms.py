"""Addresses and logins of coredms, the MongoDB of the platform and of its tenants."""

from __future__ import annotations

import re
from urllib.parse import quote

from mysimbdp import errors, naming
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

REGISTRAR = "registrar"
PLATFORM = "platform"
ADMIN_DATABASE = "admin"

_URL = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?)://(?:[^@/]*@)?(?P<hosts>[^@/?]+)"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<options>.*))?"
)


def mongo_address(settings: Settings) -> str:
    """Return host and port of coredms, without a login (several hosts are joined by commas)."""
    return _parts(settings)["hosts"]


def coredms_url(settings: Settings, secrets: SecretStore, tenant: str | None = None) -> str:
    """Return the URL of the provider's login, or of one tenant's on its own database.

    Raises:
        SecretMissingError: the registrar has not made that login yet.
        ConfigurationError: MONGO_URL is not a MongoDB address.

    """
    if tenant is None:
        return registrar_url(settings, secrets)
    password = secrets.read(f"mongo/tenants/{naming.login(tenant)}")
    database = naming.database(tenant)
    return _url(settings, naming.login(tenant), password, database, auth_source=database)


def registrar_url(settings: Settings, secrets: SecretStore) -> str:
    """Return the URL of the administrator that makes databases and users."""
    if settings.mongo_url is not None:
        return settings.mongo_url
    return _url(settings, REGISTRAR, secrets.read("mongo/registrar"))


def platform_url(settings: Settings, secrets: SecretStore) -> str:
    """Return the URL of the login that writes reports and the ledger."""
    return _url(settings, PLATFORM, secrets.read("mongo/platform"), naming.PLATFORM_DATABASE)


def _url(
    settings: Settings,
    user: str,
    password: str,
    database: str = "",
    *,
    auth_source: str = ADMIN_DATABASE,
) -> str:
    parts = _parts(settings)
    kept = [
        option
        for option in (parts["options"] or "").split("&")
        if option and not option.lower().startswith(("authsource=", "authmechanism"))
    ]
    options = "&".join([*kept, f"authSource={auth_source}"])
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"{parts['scheme']}://{login}@{parts['hosts']}/{database}?{options}"


def _parts(settings: Settings) -> dict[str, str]:
    embedded = f"mongodb://127.0.0.1:{settings.mongo_port}/?directConnection=true"
    found = _URL.fullmatch(settings.mongo_url or embedded)
    if found is None:
        # The URL holds a password: it is not repeated here.
        raise errors.ConfigurationError(
            "MONGO_URL is not a MongoDB address; expected mongodb://user:password@host:port/."
        )
    return found.groupdict()
