"""What is written holds: the README's commands, the glossary's words, the links, the locks."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from mysimbdp import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands():
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def make(target):
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_make_run_starts_the_stack_and_brings_the_samples_through():
    assert re.search(r"mysimbdp up\n.*mysimbdp demo", make("run"))


def test_make_stop_ends_the_stack():
    assert "mysimbdp down" in make("stop")


def test_ci_proves_what_make_test_proves():
    script = (ROOT / ".ci" / "run").read_text()
    assert "make test" in script


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("mysimbdp ")])
def test_every_command_of_the_readme_exists(line):
    words = line.split()
    command = get_command(cli.app)
    for word in words[1:]:
        found = getattr(command, "commands", {}).get(word)
        if found is None:
            break
        command = found
    assert command is not get_command(cli.app)
    assert not hasattr(command, "commands"), f"{line}: no such subcommand"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_readme_is_as_short_as_a_newcomer_reads():
    assert len(README.split()) < 1000


def test_the_glossary_has_each_word_once():
    words = re.findall(r"^\| ([a-z ]+) \|", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert len(words) == len(set(words)) > 15


def test_every_lock_is_hashed():
    for lock in (ROOT / "requirements").glob("*.txt"):
        pins = re.findall(r"^[a-z0-9].*==", lock.read_text(), re.MULTILINE)
        assert pins
        assert lock.read_text().count("--hash=sha256:") >= len(pins)
