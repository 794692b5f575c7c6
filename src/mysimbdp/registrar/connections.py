"""The Airflow connections that carry the platform's addresses and logins.

Airflow never shows a password again, neither the field nor an entry of the extra with such a name.
So each connection's description ends in a seal: one digest of what Airflow does show and one of
what it hides. With it the registrar sees whether somebody
changed the connection by hand, and whether the password is the one it would write today.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mysimbdp import coredms, errors, messaging, naming
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

MAIL_SENDER = "mysimbdp@localhost"
_SUBMISSION_PORT = 587

_PLATFORM_NOTE = "Made by the registrar; changed by hand, it stays as changed."
_MONGO_URL = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?)://(?P<login>[^:@/]+):(?P<password>[^@/]+)@(?P<hosts>[^@/?]+)"
    r"/(?P<database>[^?]*)\?(?P<options>.*)"
)
#: Names of entries of an extra that Airflow hides hold one of these.
_HIDDEN_WORDS = ("password", "secret", "token")
_SHOWN_FIELDS = ("conn_type", "host", "port", "login", "schema")
_DIGEST_CHARACTERS = 12
_SEAL = re.compile(r"\[([0-9a-f]{12})-([0-9a-f]{12})\]$")


def platform(settings: Settings, secrets: SecretStore) -> list[dict[str, Any]]:
    """Return the connections of the platform itself; operators may change them."""
    url = coredms.platform_url(settings, secrets)
    return [
        _sealed(naming.PLATFORM_CONNECTION, _mongo(url), _PLATFORM_NOTE),
        _sealed(naming.STAGING_CONNECTION, _staging(settings), _PLATFORM_NOTE),
        _sealed(naming.MAIL_CONNECTION, _mail(settings), _PLATFORM_NOTE),
    ]


def tenant(settings: Settings, secrets: SecretStore, name: str) -> dict[str, Any]:
    """Return the connection with a tenant's login in its own database."""
    url = coredms.coredms_url(settings, secrets, name)
    note = f"The login of {name}, kept by the registrar."
    return _sealed(naming.mongo_connection(name), _mongo(url), note)


def platform_kafka(settings: Settings, secrets: SecretStore) -> dict[str, Any]:
    """Return the connection with the platform's login in Kafka; operators may change it."""
    properties = messaging.platform_login(settings, secrets)
    return _sealed(naming.KAFKA_CONNECTION, _kafka(properties), _PLATFORM_NOTE)


def tenant_kafka(settings: Settings, secrets: SecretStore, name: str) -> dict[str, Any]:
    """Return the connection with a tenant's login in Kafka."""
    properties = messaging.tenant_login(settings, secrets, name)
    note = f"The Kafka login of {name}, kept by the registrar."
    return _sealed(naming.kafka_connection(name), _kafka(properties), note)


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


def _kafka(properties: messaging.Properties) -> dict[str, Any]:
    """Write client properties where the hooks of Airflow's provider look for them."""
    return {"conn_type": "kafka", "extra": json.dumps(properties, sort_keys=True)}


def _staging(settings: Settings) -> dict[str, Any]:
    return {"conn_type": "fs", "extra": json.dumps({"path": str(settings.staging)})}


def _mail(settings: Settings) -> dict[str, Any]:
    if settings.smtp_url is not None:
        return _mail_server(settings.smtp_url)
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": MAIL_SENDER}
    return {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": settings.smtp_port,
        "extra": json.dumps(extra, sort_keys=True),
    }


def _mail_server(url: str) -> dict[str, Any]:
    """Take a mail server's address apart; it is asked for STARTTLS unless the address says no."""
    try:
        parts = urlsplit(url)
        port = parts.port or _SUBMISSION_PORT
    except ValueError:
        raise _wrong_mail_server() from None
    options = dict(parse_qsl(parts.query))
    secure = options.pop("starttls", "true").lower()
    sender = options.pop("from", MAIL_SENDER)
    if parts.scheme != "smtp" or not parts.hostname or options or secure not in {"true", "false"}:
        raise _wrong_mail_server()
    extra = {"disable_ssl": True, "disable_tls": secure == "false", "from_email": sender}
    return {
        "conn_type": "smtp",
        "host": parts.hostname,
        "port": port,
        "login": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "extra": json.dumps(extra, sort_keys=True),
    }


def _wrong_mail_server() -> errors.ConfigurationError:
    # The URL holds a password: it is not repeated here.
    return errors.ConfigurationError(
        "SMTP_URL is not the address of a mail server; expected "
        "smtp://user:password@host:port/?starttls=true&from=sender@example.org."
    )


def _typed(value: str) -> str | bool:
    return {"true": True, "false": False}.get(value.lower(), value)


def _sealed(connection_id: str, body: Mapping[str, Any], note: str) -> dict[str, Any]:
    seal = f"[{_digest(_shown(body))}-{_digest(_hidden(body))}]"
    return {"connection_id": connection_id, **body, "description": f"{note} {seal}"}


def _shown(body: Mapping[str, Any]) -> dict[str, Any]:
    """Pick what Airflow shows; an empty field of its form and a missing one are the same."""
    shown = {field: body.get(field) or None for field in _SHOWN_FIELDS}
    extra = json.loads(body.get("extra") or "{}")
    return shown | {"extra": {key: extra[key] for key in extra if not _is_hidden(key)}}


def _hidden(body: Mapping[str, Any]) -> Any:
    extra = json.loads(body.get("extra") or "{}")
    entries = {key: extra[key] for key in extra if _is_hidden(key)}
    return [body.get("password"), entries] if entries else body.get("password")


def _is_hidden(key: str) -> bool:
    return any(word in key.lower() for word in _HIDDEN_WORDS)


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_CHARACTERS]
