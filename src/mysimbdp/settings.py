"""Where things are, read once from the environment; all ways to deploy use the same names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from mysimbdp import errors

DEFAULT_AIRFLOW_PORT = 8080
DEFAULT_MONGO_PORT = 27017
DEFAULT_SMTP_PORT = 1025
DEFAULT_KAFKA_PORT = 9092
DEFAULT_KAFKA_CONTROLLER_PORT = 9093
DEFAULT_OPERATOR_EMAIL = "operator@localhost"


@attrs.frozen(kw_only=True)
class Settings:
    """The places and addresses of one deployment.

    Attributes:
        home: the committed tree, with `constraints/` and `tenant_pipelines/`.
        state: everything that is not committed: staging area, logs, secrets, databases.
        mongo_url: a MongoDB of the provider's own, with an administrator's login; None means the
            embedded one.
        mongo_port: port of the embedded mongod.
        kafka_broker: bootstrap servers of a Kafka of the provider's own, `host:port,…`; None means
            the embedded one.
        kafka_login: file with the client properties that let the registrar administer
            `kafka_broker`.
        kafka_port: port of the embedded broker.
        kafka_controller_port: port on which the embedded broker talks to itself.
        airflow_port: port of the Airflow API server and UI.
        smtp_port: port of the embedded mailbox.
        smtp_url: a mail server of the provider's own, with a login,
            `smtp://user:password@host:port/?from=…&starttls=true`; None means the embedded mailbox.
        operator_email: who hears of every missed objective, beside the tenant's contacts.
        airflow_url: address of the Airflow API, without a trailing slash.

    """

    home: Path
    state: Path
    mongo_url: str | None
    mongo_port: int
    kafka_broker: str | None = None
    kafka_login: Path | None = None
    kafka_port: int = DEFAULT_KAFKA_PORT
    kafka_controller_port: int = DEFAULT_KAFKA_CONTROLLER_PORT
    airflow_port: int
    smtp_port: int
    smtp_url: str | None = attrs.field(default=None, repr=False)
    operator_email: str = DEFAULT_OPERATOR_EMAIL
    airflow_url: str

    @property
    def constraints(self) -> Path:
        """Hold the agreements, one file a tenant."""
        return self.home / "constraints"

    @property
    def tenant_pipelines(self) -> Path:
        """Hold the tenants' code and registrations, one folder a tenant."""
        return self.home / "tenant_pipelines"

    @property
    def staging(self) -> Path:
        """Hold the tenants' staging areas."""
        return self.state / "staging"

    @property
    def logs(self) -> Path:
        """Hold the metrics log and one regular log a tenant."""
        return self.state / "logs"

    @property
    def secrets(self) -> Path:
        """Hold one file a secret, readable by the platform only."""
        return self.state / "secrets"

    @property
    def registry(self) -> Path:
        """Name the file in which the registrar publishes the registered tenants."""
        return self.state / "registry.json"


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; unset ones fall back to the checkout around the working directory.

    Raises:
        ConfigurationError: no tree is found, or a port is not a number.

    """
    home = Path(environ["MYSIMBDP_HOME"]) if "MYSIMBDP_HOME" in environ else _find_home(Path.cwd())
    airflow_port = _port(environ, "MYSIMBDP_AIRFLOW_PORT", DEFAULT_AIRFLOW_PORT)
    return Settings(
        home=home.resolve(),
        state=Path(environ.get("MYSIMBDP_STATE", home / "var")).resolve(),
        mongo_url=environ.get("MONGO_URL") or None,
        mongo_port=_port(environ, "MYSIMBDP_MONGO_PORT", DEFAULT_MONGO_PORT),
        kafka_broker=environ.get("KAFKA_BROKER") or None,
        kafka_login=Path(environ["KAFKA_LOGIN"]) if environ.get("KAFKA_LOGIN") else None,
        kafka_port=_port(environ, "MYSIMBDP_KAFKA_PORT", DEFAULT_KAFKA_PORT),
        kafka_controller_port=_port(
            environ, "MYSIMBDP_KAFKA_CONTROLLER_PORT", DEFAULT_KAFKA_CONTROLLER_PORT
        ),
        airflow_port=airflow_port,
        smtp_port=_port(environ, "MYSIMBDP_SMTP_PORT", DEFAULT_SMTP_PORT),
        smtp_url=environ.get("SMTP_URL") or None,
        operator_email=environ.get("OPERATOR_EMAIL") or DEFAULT_OPERATOR_EMAIL,
        airflow_url=environ.get("AIRFLOW_URL", f"http://127.0.0.1:{airflow_port}").rstrip("/"),
    )


def _find_home(start: Path) -> Path:
    for folder in (start, *start.parents):
        if (folder / "constraints").is_dir() and (folder / "tenant_pipelines").is_dir():
            return folder
    raise errors.ConfigurationError(
        f"No platform tree at {start} or above it: expected the folders constraints/ and "
        "tenant_pipelines/. Change into the checkout or set MYSIMBDP_HOME.",
        start=str(start),
    )


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, str(default))
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise errors.ConfigurationError(
            f"{name} must be a port number between 1 and 65535, found {text!r}.", name=name
        )
    return int(text)
