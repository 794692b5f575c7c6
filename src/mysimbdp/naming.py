"""The only place where a tenant's id becomes the name of anything else."""

from __future__ import annotations

import re

TENANT_PATTERN = r"[a-z][a-z0-9_-]{2,49}"
SUBDIRECTORY_PATTERN = r"[a-z][a-z0-9_-]{0,49}"
COLLECTION_PATTERN = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
TOPIC_PATTERN = r"[a-z][a-z0-9_-]{0,99}"

PLATFORM_DATABASE = "mysimbdp"
REJECTS_COLLECTION = "rejects"
#: Databases of MongoDB and of the platform, logins, Kafka users and pools that exist anyway.
RESERVED_TENANTS = frozenset(
    {
        *("admin", "local", "config", PLATFORM_DATABASE),
        *("registrar", "platform", "broker", "controller"),
        "default_pool",
    }
)
#: Folders of the staging area beside the inboxes.
STAGING_FOLDERS = frozenset({"claimed", "loaded", "rejected"})
#: The last one is the DAG that says why a tenant is stopped.
RESERVED_SUBDIRECTORIES = STAGING_FOLDERS | {"stopped"}
RESERVED_COLLECTIONS = frozenset({REJECTS_COLLECTION})
#: Every window's reports of all stream apps, written by the platform alone.
METRICS_TOPIC = "metrics"
#: Below a tenant's prefix: what its scripts report of themselves.
OWN_REPORTS = "metrics"
#: Begins the names of the platform's own consumer groups; no tenant can have such a prefix.
PLATFORM_GROUPS = f"{PLATFORM_DATABASE}."
RESERVED_TOPICS = frozenset({OWN_REPORTS})

PLATFORM_CONNECTION = "mysimbdp_mongo"
KAFKA_CONNECTION = "mysimbdp_kafka"
STAGING_CONNECTION = "fs_default"
MAIL_CONNECTION = "smtp_default"


def is_tenant(text: str) -> bool:
    """Tell whether `text` may name a tenant: a folder, database, pool, role and login at once."""
    return re.fullmatch(TENANT_PATTERN, text) is not None and text not in RESERVED_TENANTS


def is_subdirectory(text: str) -> bool:
    """Tell whether `text` may name a tenant's subdirectory, and so the second half of a DAG id."""
    return (
        re.fullmatch(SUBDIRECTORY_PATTERN, text) is not None and text not in RESERVED_SUBDIRECTORIES
    )


def is_collection(text: str) -> bool:
    """Tell whether `text` may name a collection that a pipeline writes to."""
    return re.fullmatch(COLLECTION_PATTERN, text) is not None and text not in RESERVED_COLLECTIONS


def is_topic(text: str) -> bool:
    """Tell whether `text` may name a tenant's topic, below the tenant's prefix."""
    return re.fullmatch(TOPIC_PATTERN, text) is not None and text not in RESERVED_TOPICS


def dag_id(tenant: str, subdirectory: str) -> str:
    """Name the DAG of a subdirectory."""
    return f"{tenant}.{subdirectory}"


def stream_dag_id(tenant: str, app: str) -> str:
    """Name the DAG of a stream app; no subdirectory can have such a name."""
    return f"{tenant}.{app}.stream"


def stream_app(tenant: str, app: str) -> str:
    """Name a stream app among those of all tenants."""
    return f"{tenant}.{app}"


def kafka_prefix(tenant: str) -> str:
    """Begin every topic, consumer group and transactional id of a tenant; the dot ends the name."""
    return f"{tenant}."


def topic(tenant: str, name: str) -> str:
    """Name a tenant's topic in Kafka."""
    return f"{kafka_prefix(tenant)}{name}"


def consumer_group(tenant: str, name: str) -> str:
    """Name a tenant's consumer group in Kafka."""
    return f"{kafka_prefix(tenant)}{name}"


def stopped_dag_id(tenant: str) -> str:
    """Name the DAG that only says why a tenant that never was live cannot start."""
    return f"{tenant}.stopped"


def pool(tenant: str) -> str:
    """Name the Airflow pool that holds a tenant's slots."""
    return tenant


def role(tenant: str) -> str:
    """Name the Airflow role that sees one tenant's DAGs only."""
    return f"tenant_{tenant}"


def login(tenant: str) -> str:
    """Name the user of a tenant, in Airflow and in MongoDB."""
    return tenant


def database(tenant: str) -> str:
    """Name the MongoDB database of a tenant."""
    return tenant


def mongo_connection(tenant: str) -> str:
    """Name the Airflow connection that carries a tenant's MongoDB login."""
    return f"{PLATFORM_CONNECTION}_{tenant}"


def inbox_asset(tenant: str, subdirectory: str) -> str:
    """Name the asset whose events say that files have landed."""
    return f"inbox.{tenant}.{subdirectory}"


def kafka_connection(tenant: str) -> str:
    """Name the Airflow connection that carries a tenant's Kafka login."""
    return f"{KAFKA_CONNECTION}_{tenant}"
