"""The jars of Kafka Connect and its MongoDB sink: pinned by a lock with hashes, as the broker's.

`python -m bench.stream.connect_jars` renews the lock.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from mysimbdp.local_stack import kafka_jars

SINK_VERSION = "2.0.1"
LOCK = Path(__file__).parents[2] / "requirements" / "connect.lock.toml"

#: The driver is the newest that the sink's own range of versions allows. Avro, which the sink names
#: too, serves its source only, and it would bring an older jackson-core than Connect needs.
_COORDINATES = (
    f"org.apache.kafka:connect-runtime:{kafka_jars.VERSION}!",
    f"org.apache.kafka:connect-json:{kafka_jars.VERSION}!",
    f"org.mongodb.kafka:mongo-kafka-connect:{SINK_VERSION}!",
    "org.mongodb:mongodb-driver-sync:4.7.2!",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!",
)
_OF_OTHERS = {"test", "provided", "system"}


def fetch() -> Path:
    """Fetch what is missing, checked against the lock, and return the folder."""
    return kafka_jars.fetch(LOCK)


def renew() -> None:
    """Resolve Kafka Connect anew and write the lock."""
    from jgo.env import LockFile  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as draft:
        context = MavenContext(repo_cache=Path(draft))
        wanted = [context.create_dependency(each) for each in _COORDINATES]
        own, needed = context.resolver.resolve(wanted)
        kept = [each for each in (*own, *needed) if each.scope not in _OF_OTHERS]
        kept.sort(key=str)
        LockFile.from_resolved_dependencies(kept).save(LOCK)


if __name__ == "__main__":
    renew()
