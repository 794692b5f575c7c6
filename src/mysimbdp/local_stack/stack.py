"""Start, stop and look at the whole embedded stack."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

import attrs

from mysimbdp.local_stack import health, leftovers, preflight, programs
from mysimbdp.local_stack.processes import Process, Supervisor
from mysimbdp.local_stack.start import Audience, Start
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

RUNNING = "running"
STARTING = "starting"
FAILING = "failing"
STOPPED = "stopped"


@attrs.frozen(kw_only=True)
class Part:
    """The state of one program: running, starting, failing or stopped."""

    name: str
    state: str
    pid: int | None
    since_seconds: float | None
    address: str


def up(settings: Settings, audience: Audience) -> tuple[str, ...]:
    """Start what does not run and wait until all of it works; return the names of what was down.

    Raises:
        StackError: the machine lacks something, or a program does not start.

    """
    preflight.check_machine(settings)
    secrets = SecretStore(settings.secrets)
    with _alone(settings):
        start = Start(
            settings=settings,
            secrets=secrets,
            environment=programs.environment(settings, secrets),
            programs=programs.programs(settings, secrets),
            supervisor=Supervisor(settings),
            audience=audience,
        )
        return start.run()


def down(settings: Settings) -> int:
    """Stop all programs and end what a crash left behind; return how many processes there were."""
    if not settings.state.is_dir():
        return 0
    supervisor = Supervisor(settings)
    with _alone(settings):
        count = len(leftovers.find(settings))
        if supervisor.answers():
            names = list(supervisor.processes())
            # The others still write to them while they stop.
            supervisor.stop([name for name in names if name not in programs.STORES])
            supervisor.stop(names)
            supervisor.shut_down()
        leftovers.end(settings)
        return count


def status(settings: Settings) -> tuple[Part, ...]:
    """Return the state of each program, in the order in which they start."""
    found = Supervisor(settings).processes()
    return tuple(
        _part(settings, name, address, found.get(name))
        for name, address in programs.addresses(settings).items()
    )


def _part(settings: Settings, name: str, address: str, process: Process | None) -> Part:
    state = STOPPED if process is None else _state(settings, process)
    runs = process is not None and process.pid > 0
    return Part(
        name=name,
        state=state,
        pid=process.pid if process and runs else None,
        since_seconds=process.started_at_seconds if process and runs else None,
        address=address,
    )


def _state(settings: Settings, process: Process) -> str:
    if process.is_down:
        return STOPPED
    if process.is_failing:
        return FAILING
    return RUNNING if health.is_well(settings, process) else STARTING


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Keep two starts or stops of the same stack apart; the second waits."""
    folder = settings.state / "run"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
