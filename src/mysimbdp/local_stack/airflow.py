"""The settings of the embedded Airflow, all by environment, and its four programs."""

from __future__ import annotations

import base64
import hashlib
import secrets as generator
import sys
from importlib import metadata

from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

AUTH_MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
#: The person and the service that administer Airflow; both have the role Admin.
ADMIN = "admin"
REGISTRAR = "registrar"

_FERNET_KEY_BYTES = 32
#: SHA-512 wants no fewer.
_SIGNING_KEY_BYTES = 64
_DATABASE_WAIT_SECONDS = 60
_DISTRIBUTIONS = ("apache-airflow", "apache-airflow-core", "apache-airflow-providers-fab")

_TUNING = {
    "AIRFLOW__CORE__AUTH_MANAGER": AUTH_MANAGER,
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__CORE__PARALLELISM": "16",
    # Without asking a name server, which may be slow or absent.
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__API__INSTANCE_NAME": "mysimbdp",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": "1000",
    # A worker or program killed hard is noticed within half a minute, not within five.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
    # Task to task in about 0.6 s instead of 1.1 s.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    # A tenant that comes or goes is seen in seconds.
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__STALE_DAG_THRESHOLD": "20",
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "10",
    "AIRFLOW__METRICS__STATSD_ON": "False",
    "AIRFLOW__METRICS__OTEL_ON": "False",
    "AIRFLOW__TRACES__OTEL_ON": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
}


def environment(settings: Settings, secrets: SecretStore) -> dict[str, str]:
    """Return the variables that every Airflow program and command needs; missing keys are made."""
    return _TUNING | _places(settings) | _keys(secrets)


def commands() -> dict[str, list[str]]:
    """Return the command line of each Airflow program by its name."""
    airflow = [sys.executable, "-m", "airflow"]
    # All parts share the log folder, so nobody has to serve its logs on a port.
    return {
        "api-server": [*airflow, "api-server"],
        "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
        "dag-processor": [*airflow, "dag-processor"],
        "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
    }


def preparation_command() -> list[str]:
    """Return the command that makes the metadata database and its two logins."""
    return [sys.executable, "-m", "mysimbdp.orchestration.metadata_database"]


def is_prepared(settings: Settings, secrets: SecretStore) -> bool:
    """Tell whether the metadata database fits this Airflow and these passwords."""
    try:
        return (settings.state / "airflow" / "prepared").read_text() == _fingerprint(secrets)
    except FileNotFoundError:
        return False


def mark_prepared(settings: Settings, secrets: SecretStore) -> None:
    """Remember that the metadata database need not be prepared again."""
    (settings.state / "airflow" / "prepared").write_text(_fingerprint(secrets))


def _places(settings: Settings) -> dict[str, str]:
    folder = settings.state / "airflow"
    logs = settings.logs / "airflow"
    database = f"{folder}/airflow.db?timeout={_DATABASE_WAIT_SECONDS}"
    return {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.home / "plugins"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(settings.airflow_port),
        "AIRFLOW__API__BASE_URL": settings.airflow_url,
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(folder / "bundles"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(logs),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(logs / "dag_processor"),
    }


def _keys(secrets: SecretStore) -> dict[str, str]:
    fernet_key = base64.urlsafe_b64encode(generator.token_bytes(_FERNET_KEY_BYTES)).decode()
    return {
        "AIRFLOW__CORE__FERNET_KEY": secrets.ensure("airflow/fernet", fernet_key),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.ensure("airflow/jwt", _signing_key()),
        "AIRFLOW__API__SECRET_KEY": secrets.ensure("airflow/session", _signing_key()),
    }


def _signing_key() -> str:
    return generator.token_hex(_SIGNING_KEY_BYTES)


def _fingerprint(secrets: SecretStore) -> str:
    versions = [metadata.version(name) for name in _DISTRIBUTIONS]
    passwords = [secrets.ensure(f"airflow/{login}") for login in (ADMIN, REGISTRAR)]
    return hashlib.sha256("\n".join(versions + passwords).encode()).hexdigest()
