"""The real stack, started once a session as a user starts it: own ports, own state, own tree."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mysimbdp import settings
from mysimbdp.secrets import SecretStore

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sys.executable).with_name("mysimbdp"))
TREE = ("constraints", "tenant_pipelines", "dags", "plugins")
COMMAND_SECONDS = 600
# What this session's environment may say of another stack must not reach ours.
FOREIGN = ("MYSIMBDP_", "AIRFLOW", "MONGO_URL", "KAFKA_")


class Stack:
    """An embedded stack with a tree that tests may change; each command is a process of its own."""

    def __init__(self, tree, free_port):
        self.tree = tree
        self.state = tree / "var"
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)
        } | {
            "MYSIMBDP_MONGO_PORT": str(free_port()),
            "MYSIMBDP_KAFKA_PORT": str(free_port()),
            "MYSIMBDP_KAFKA_CONTROLLER_PORT": str(free_port()),
            "MYSIMBDP_AIRFLOW_PORT": str(free_port()),
            "MYSIMBDP_SMTP_PORT": str(free_port()),
        }

    command = COMMAND

    @property
    def settings(self):
        return settings.from_environment(self.environment | {"MYSIMBDP_HOME": str(self.tree)})

    @property
    def secrets(self):
        return SecretStore(self.settings.secrets)

    def run(self, *arguments, **environment):
        """Run `mysimbdp` in the tree; return the completed process with its text output."""
        return subprocess.run(
            [COMMAND, *arguments],
            cwd=self.tree,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def up(self):
        done = self.run("up")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def parts(self):
        """Return what `mysimbdp status --json` says, by the name of the part."""
        return {part["name"]: part for part in json.loads(self.run("status", "--json").stdout)}

    def await_all_running(self, seconds=180):
        deadline = time.monotonic() + seconds
        while self.run("status").returncode != 0:
            assert time.monotonic() < deadline, self.run("status").stdout
            time.sleep(0.5)
        return self.parts()

    def supervisor(self):
        return psutil.Process(int((self.state / "run" / "supervisord.pid").read_text()))

    def processes(self):
        """Find whatever has to do with the state folder: by command line, environment or place."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                    continue
                traces = [*process.cmdline(), *process.environ().values(), process.cwd()]
                if any(str(self.state) in trace for trace in traces):
                    found.append(process)
        return found


@pytest.fixture(scope="session")
def make_stack(tmp_path_factory, free_port):
    """Give a function that makes a further stack, not started, with a copy of the tree."""

    def make():
        tree = tmp_path_factory.mktemp("stack")
        for folder in TREE:
            shutil.copytree(
                ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__")
            )
        return Stack(tree, free_port)

    return make


@pytest.fixture(scope="session")
def stack(make_stack):
    """Give the started stack that all acceptance tests share."""
    shared = make_stack()
    try:
        shared.up()
        yield shared
    finally:
        shared.run("down")
    assert not shared.processes()
