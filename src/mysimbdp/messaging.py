"""Addresses and logins of the messaging system, the Kafka of the platform and of its tenants.

Logins are client properties as librdkafka names them; they hold passwords.
"""

from __future__ import annotations

from mysimbdp import errors, naming
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

REGISTRAR = "registrar"
PLATFORM = "platform"
#: What the registrar gives every login that it makes.
MECHANISM = "SCRAM-SHA-512"

Properties = dict[str, str]


def address(settings: Settings) -> str:
    """Return the bootstrap servers, `host:port,…`."""
    return settings.kafka_broker or f"127.0.0.1:{settings.kafka_port}"


def registrar_login(settings: Settings, secrets: SecretStore) -> Properties:
    """Return the login of the administrator that makes topics, users, rights and quotas.

    Raises:
        ConfigurationError: KAFKA_LOGIN names no file of client properties.

    """
    if settings.kafka_broker is None:
        return _common(settings) | {
            "sasl.mechanism": "PLAIN",
            "sasl.username": REGISTRAR,
            "sasl.password": secrets.read("kafka/registrar"),
        }
    return _common(settings) | {
        key: value for key, value in _given(settings).items() if key.startswith("sasl.")
    }


def platform_login(settings: Settings, secrets: SecretStore) -> Properties:
    """Return the login that writes and reads the metrics topic."""
    return _login(settings, PLATFORM, secrets.read("kafka/platform"))


def tenant_login(settings: Settings, secrets: SecretStore, tenant: str) -> Properties:
    """Return a tenant's login, on its own topics and groups.

    Raises:
        SecretMissingError: the registrar has not made that login yet.

    """
    return _login(settings, naming.login(tenant), secrets.read(f"kafka/tenants/{tenant}"))


def _login(settings: Settings, user: str, password: str) -> Properties:
    return _common(settings) | {
        "sasl.mechanism": MECHANISM,
        "sasl.username": user,
        "sasl.password": password,
    }


def _common(settings: Settings) -> Properties:
    given = {} if settings.kafka_broker is None else _given(settings)
    kept = {key: value for key, value in given.items() if not key.startswith("sasl.")}
    return {"security.protocol": "SASL_PLAINTEXT", **kept, "bootstrap.servers": address(settings)}


def _given(settings: Settings) -> Properties:
    """Read the provider's own client properties, `key=value` a line."""
    if settings.kafka_login is None:
        return {}
    try:
        lines = settings.kafka_login.read_text().splitlines()
    except OSError as error:
        raise errors.ConfigurationError(
            f"KAFKA_LOGIN names {settings.kafka_login}, which cannot be read: {error.strerror}. "
            "Expected a file of client properties, such as sasl.username=admin."
        ) from error
    pairs = (line.partition("=") for line in lines if line.strip() and line.lstrip()[0] != "#")
    return {key.strip(): value.strip() for key, _, value in pairs}
