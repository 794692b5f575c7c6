"""Every command of the README, in its order, as a newcomer types it after `make run`."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()
#: These are what the whole session does; the rest is typed.
DONE_BEFORE = ("make run", "make test", "source .venv/bin/activate")


def test_the_readmes_commands_work_one_after_the_other(stack):
    stack.await_all_running()
    assert stack.run("demo").returncode == 0  # the second half of `make run`
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line not in DONE_BEFORE]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=stack.tree,
            env=stack.environment | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert len(lines) >= 10
