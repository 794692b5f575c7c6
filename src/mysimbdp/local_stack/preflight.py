"""What must hold before the stack starts, each with one sentence on what to do if it does not."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Collection
from pathlib import Path

import psutil

from mysimbdp import errors
from mysimbdp.local_stack import kafka, mongod
from mysimbdp.settings import Settings

LEAST_DISK_BYTES = 2 * 1024**3

_HOST = "127.0.0.1"


def check_machine(settings: Settings) -> None:
    """Check the state folder, the disk, the mongod and the Java of this machine.

    Raises:
        StackError: one of them cannot be used.

    """
    _check_folder(settings.state)
    _check_disk(settings.state)
    if settings.mongo_url is None:
        mongod.version(mongod.find_binary())
    if settings.kafka_broker is None:
        kafka.java_version()


def check_ports(ports: Collection[tuple[str, int]]) -> None:
    """Check that these ports, given with the names of their settings, are free.

    Raises:
        StackError: one is taken, or two are the same.

    """
    seen: dict[int, str] = {}
    for setting, port in ports:
        if port in seen:
            raise errors.StackError(
                f"{seen[port]} and {setting} are both {port}; set one of them to another port."
            )
        seen[port] = setting
    for setting, port in ports:
        if not _is_free(port):
            raise errors.StackError(
                f"Port {port} is taken{_holder(port)}. "
                f"End that program or set {setting} to a free port.",
                port=port,
                setting=setting,
            )


def _check_folder(state: Path) -> None:
    try:
        state.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=state):
            pass
    except OSError as error:
        raise errors.StackError(
            f"The state folder {state} cannot be written: {error.strerror}. "
            "Give yourself the right to, or set MYSIMBDP_STATE to another folder."
        ) from None


def _check_disk(state: Path) -> None:
    free = shutil.disk_usage(state).free
    if free < LEAST_DISK_BYTES:
        raise errors.StackError(
            f"Only {free / 1024**3:.1f} GB of disk are free at {state}, 2.0 GB are needed. "
            "Free some, or set MYSIMBDP_STATE to a folder on another disk."
        )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
        return True


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return ""
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr and connection.laddr.port == port and connection.pid:
            return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
