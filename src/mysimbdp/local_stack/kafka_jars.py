"""The jars of the embedded Kafka: pinned by a lock with hashes, fetched once for all stacks."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import attrs

from mysimbdp import errors

VERSION = "4.3.1"
LOCK = Path(__file__).parents[3] / "requirements" / "kafka.lock.toml"

#: The second one lets the broker write a log. The mark at the end says that neither may decide on
#: versions of what the other one needs.
_COORDINATES = (
    f"org.apache.kafka:kafka_2.13:{VERSION}!",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4!",
)
_OF_OTHERS = {"test", "provided", "system"}
_TIMEOUT_SECONDS = 30


@attrs.frozen(kw_only=True)
class Jar:
    """One locked jar and the hash of its bytes."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """Name the file."""
        return f"{self.artifact}-{self.version}.jar"

    def is_in(self, folder: Path) -> bool:
        """Tell whether the folder has it, byte by byte."""
        path = folder / self.name
        return path.is_file() and _sha256(path) == self.sha256


def read_lock(lock: Path = LOCK) -> tuple[Jar, ...]:
    """Return the locked jars.

    Raises:
        ConfigurationError: there is no such lock, or one without hashes.

    """
    try:
        listed = tomllib.loads(lock.read_text())["dependencies"]
        return tuple(
            Jar(
                group=each["groupId"],
                artifact=each["artifactId"],
                version=each["version"],
                sha256=each["sha256"],
            )
            for each in listed
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise errors.ConfigurationError(
            f"{lock} is not a lock of jars with hashes ({error}). Put the committed one back, "
            "or set KAFKA_BROKER to a Kafka that you have."
        ) from None


def folder(lock: Path = LOCK) -> Path:
    """Name the folder of the jars, which all stacks of this user share; each lock has its own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hashes = "".join(jar.sha256 for jar in read_lock(lock))
    return cache / "mysimbdp" / f"kafka-{VERSION}-{hashlib.sha256(hashes.encode()).hexdigest()[:8]}"


def missing(lock: Path = LOCK) -> tuple[Jar, ...]:
    """Return the jars that are not in the folder as the lock wants them."""
    place = folder(lock)
    return tuple(jar for jar in read_lock(lock) if not jar.is_in(place))


def fetch(lock: Path = LOCK) -> Path:
    """Fetch what is missing, checked against the lock, and return the folder.

    Raises:
        StackError: a jar cannot be had, or is not the locked one.

    """
    place = folder(lock)
    with _alone(place), tempfile.TemporaryDirectory(dir=place.parent) as draft:
        for jar in missing(lock):
            _obtain(jar, Path(draft)).rename(place / jar.name)
    return place


def renew(lock: Path = LOCK) -> None:
    """Resolve Kafka anew and write the lock."""
    from jgo.env import LockFile  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as draft:
        context = MavenContext(repo_cache=Path(draft))
        wanted = [context.create_dependency(each) for each in _COORDINATES]
        own, needed = context.resolver.resolve(wanted)
        kept = [each for each in (*own, *needed) if each.scope not in _OF_OTHERS]
        kept.sort(key=str)
        LockFile.from_resolved_dependencies(kept).save(lock)


def _obtain(jar: Jar, draft: Path) -> Path:
    """Return a copy of a jar in the folder of drafts, checked against its hash."""
    found = _resolve(jar, draft)
    copied = Path(shutil.copyfile(found, draft / jar.name))
    if not jar.is_in(draft):
        raise errors.StackError(
            f"{found} of {jar.group} has SHA-256 {_sha256(copied)}, expected {jar.sha256}: it is "
            "not the jar that was tested. Delete it if it is yours, or ask whoever runs the "
            "repository that you fetch from.",
            jar=jar.name,
        )
    return copied


def _resolve(jar: Jar, draft: Path) -> Path:
    """Return a jar out of the Maven cache of this machine, else fetch it to the draft's."""
    # These take a third of a second, which commands that fetch nothing need not wait.
    import requests  # noqa: PLC0415
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.constants import default_maven_repo  # noqa: PLC0415
    from jgo.maven import MavenContext  # noqa: PLC0415

    context = MavenContext(
        repo_cache=draft / "maven",
        local_repos=[default_maven_repo()],
        timeout=_TIMEOUT_SECONDS,
    )
    context.remote_repos |= GlobalSettings.load().repositories
    project = context.project(jar.group, jar.artifact)
    try:
        return Path(project.at_version(jar.version).artifact().resolve())
    except (requests.RequestException, RuntimeError, OSError) as error:
        # Its text may have many lines; the name of the repository is what helps.
        raise errors.StackError(
            f"{jar.name}, a part of Kafka, cannot be fetched from "
            f"{', '.join(context.remote_repos.values())} ({type(error).__name__}). Let this "
            "machine reach it, name a mirror in ~/.config/jgo.conf ([repositories], "
            "central = URL), or set KAFKA_BROKER to a Kafka that you have.",
            jar=jar.name,
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep two that fetch apart; the second waits."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    renew()
