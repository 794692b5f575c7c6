"""A mongod of the benchmark's own, set up as the embedded stack sets up its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs

from mysimbdp import coredms
from mysimbdp.local_stack import mongod, replica_set
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings


@attrs.frozen(kw_only=True)
class Server:
    """A running mongod, its administrator's URL and its version."""

    settings: Settings
    secrets: SecretStore
    url: str
    version: str


@contextlib.contextmanager
def start(state: Path) -> Iterator[Server]:
    """Run a mongod on a free port with its data below `state`, until the block ends."""
    settings = Settings(
        home=Path.cwd(),
        state=state,
        mongo_url=None,
        mongo_port=find_free_port(),
        airflow_port=find_free_port(),
        smtp_port=find_free_port(),
        airflow_url="",
    )
    secrets = SecretStore(settings.secrets)
    binary = mongod.find_binary()
    process = subprocess.Popen(
        mongod.command(binary, settings, secrets),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        replica_set.make_ready(settings, secrets)
        yield Server(
            settings=settings,
            secrets=secrets,
            url=coredms.registrar_url(settings, secrets),
            version=mongod.version(binary),
        )
    finally:
        process.terminate()
        process.wait()


def find_free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
