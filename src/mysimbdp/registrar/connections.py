"""The Airflow connections that carry the platform's addresses and logins.

Airflow never shows a password again, so each connection's description ends in a seal: one digest
of what Airflow does show and one of the password. With it the registrar sees whether somebody
changed the connection by hand, and whether the password is the one it would write today.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from mysimbdp import coredms, errors, naming
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

MAIL_SENDER = "mysimbdp@localhost"

_MONGO_URL = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?)://(?P<login>[^:@/]+):(?P<password>[^@/]+)@(?P<hosts>[^@/?]+)"
    r"/(?P<database>[^?]*)\?(?P<options>.*)"
)
_SHOWN_FIELDS = ("conn_type", "host", "port", "login", "schema")
_DIGEST_CHARACTERS = 12
_SEAL = re.compile(r"\[([0-9a-f]{12})-([0-9a-f]{12})\]$")


def platform(settings: Settings, secrets: SecretStore) -> list[dict[str, Any]]:
    """Return the connections of the platform itself; operators may change them."""
    note = "Made by the registrar; changed by hand, it stays as changed."
    url = coredms.platform_url(settings, secrets)
    return [
        _sealed(naming.PLATFORM_CONNECTION, _mongo(url), note),
        _sealed(naming.STAGING_CONNECTION, _staging(settings), note),
        _sealed(naming.MAIL_CONNECTION, _mail(settings), note),
    ]


def tenant(settings: Settings, secrets: SecretStore, name: str) -> dict[str, Any]:
    """Return the connection with a tenant's login in its own database."""
    url = coredms.coredms_url(settings, secrets, name)
    note = f"The login of {name}, kept by the registrar."
    return _sealed(naming.mongo_connection(name), _mongo(url), note)


def was_changed_by_hand(shown: Mapping[str, Any]) -> bool:
    """Tell whether a connection, as Airflow shows it, is no longer as the registrar made it."""
    seal = _SEAL.search(shown.get("description") or "")
    return seal is None or seal[1] != _digest(_shown(shown))


def is_as_wished(shown: Mapping[str, Any], wished: Mapping[str, Any]) -> bool:
    """Tell whether a connection, as Airflow shows it, is what the registrar would write now."""
    same_text = shown.get("description") == wished["description"]
    return same_text and not was_changed_by_hand(shown)


def _mongo(url: str) -> dict[str, Any]:
    found = _MONGO_URL.fullmatch(url)
    if found is None:
        # The URL holds a password: it is not repeated here.
        raise errors.ConfigurationError("The address of coredms cannot be put in a connection.")
    options = {key: _typed(value) for key, value in parse_qsl(found["options"])}
    if found["scheme"] == "mongodb+srv":
        options["srv"] = True
    host, colon, port = found["hosts"].rpartition(":")
    is_single = bool(colon) and "," not in found["hosts"]
    return {
        "conn_type": "mongo",
        "host": host if is_single else found["hosts"],
        "port": int(port) if is_single else None,
        "login": unquote(found["login"]),
        "password": unquote(found["password"]),
        "schema": found["database"],
        "extra": json.dumps(options, sort_keys=True),
    }


def _staging(settings: Settings) -> dict[str, Any]:
    return {"conn_type": "fs", "extra": json.dumps({"path": str(settings.staging)})}


def _mail(settings: Settings) -> dict[str, Any]:
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": MAIL_SENDER}
    return {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": settings.smtp_port,
        "extra": json.dumps(extra, sort_keys=True),
    }


def _typed(value: str) -> str | bool:
    return {"true": True, "false": False}.get(value.lower(), value)


def _sealed(connection_id: str, body: Mapping[str, Any], note: str) -> dict[str, Any]:
    seal = f"[{_digest(_shown(body))}-{_digest(body.get('password'))}]"
    return {"connection_id": connection_id, **body, "description": f"{note} {seal}"}


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what Airflow shows; an empty field of its form and a missing one are the same."""
    shown = {field: body.get(field) or None for field in _SHOWN_FIELDS}
    return shown | {"extra": json.loads(body.get("extra") or "{}")}


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
