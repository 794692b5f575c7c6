import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import attrs
import psutil
import pytest

from mysimbdp import errors
from mysimbdp.streaming import app_log, backoff, crew, slot, standing, supervisor
from mysimbdp.streaming.orders import Order
from mysimbdp.streaming.process import Program
from mysimbdp.streaming.slot import Launch
from mysimbdp.streaming.store import StreamStore
from mysimbdp.streaming.supervisor import End, Supervisor

FAKE = Path(__file__).with_name("fake_instance.py")
PATIENCE_SECONDS = 20
LEASE_SECONDS = 120
# Instances and their supervisor give up together within this time, whatever happened.
GONE_SECONDS = 10


@attrs.define
class App:
    """One app in the real store, its instances played by the fake program."""

    store: StreamStore
    tenant: str
    folder: Path
    is_store_down: bool = False
    ending: object = None

    @property
    def log(self):
        return app_log.in_folder(self.folder, self.tenant, "weather")

    def want(self, *behaviour, **wish):
        arguments = {"arguments": behaviour} if behaviour else {}
        self.store.want(self.tenant, "weather", by="test", **arguments, **wish)

    def launching(self, wish):
        environment = {"PATH": os.environ["PATH"], "FOLDER": str(self.folder)}
        program = Program(command=(sys.executable, "-I", "-S", str(FAKE)), environment=environment)
        order = partial(
            Order,
            tenant=self.tenant,
            app="weather",
            kafka={},
            metrics={},
            mongo_url="",
            platform_url="",
            arguments=wish.arguments,
        )
        return Launch(
            name="weather",
            program=program,
            order=lambda number: order(number=number),
            log=self.log,
        )

    def supervisor(self):
        epoch = self.store.take_over(self.tenant, "weather", "run")

        async def beat(state, instances, facts):
            if self.is_store_down:
                raise errors.ServiceUnavailableError
            write = partial(self.store.beat, self.tenant, "weather", epoch, state, instances)
            return await asyncio.to_thread(partial(write, **facts))

        return Supervisor(self.launching, beat)

    def document(self):
        return self.store.read(self.tenant, "weather")

    def started(self, number=0):
        """Return the pids of all processes that were ever this instance."""
        path = self.folder / f"started-{number}"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def alive(self):
        pids = [
            pid
            for path in self.folder.glob("started-*")
            for pid in map(int, path.read_text().split())
        ]
        return [pid for pid in pids if is_alive(pid)]

    @contextlib.asynccontextmanager
    async def running(self, lease_seconds=LEASE_SECONDS):
        task = asyncio.create_task(self.supervisor().supervise(lease_seconds))
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - files and databases set no event
                await asyncio.sleep(0.05)

    async def until_state(self, state):
        await self.until(lambda: self.document().get("state") == state)

    async def end_of(self, task):
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.shield(task)


def is_alive(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def app(platform_database, tenant_name, tmp_path):
    made = App(StreamStore(platform_database), tenant_name(), tmp_path)
    yield made
    assert made.alive() == []


@pytest.fixture
def fast_restarts(monkeypatch):
    monkeypatch.setattr(backoff, "FIRST_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(backoff, "LONGEST_DELAY_SECONDS", 0.1)


@pytest.fixture
def short_patience(monkeypatch):
    for module in (crew, supervisor):
        monkeypatch.setattr(module, "PATIENT_DRAIN_SECONDS", 1.0)


def test_a_stopped_app_drains_and_its_state_says_what_it_did(app):
    app.want("work", state="running", instances=2)

    async def scene():
        async with app.running() as task:
            await app.until_state(standing.RUNNING)
            await app.until(lambda: len(app.document()["instances"]) == 2)
            shown = app.document()
            app.want(state="stopped")
            return shown, await app.end_of(task)

    shown, ending = asyncio.run(scene())
    assert [one["pid"] for one in shown["instances"]] == app.started(0) + app.started(1)
    assert shown["instances"][0]["lag"] == 5
    assert (ending.end, ending.kills, ending.sums.total, ending.sums.rejected) == (
        End.STOPPED,
        0,
        14,
        2,
    )
    kept = app.document()
    assert (kept["state"], kept["instances"], kept["total"]) == ("stopped", [], 14)
    assert kept["last_message_at"] == "2026-11-23T10:00:00Z"
    assert {path.name for path in app.folder.glob("drained-*")} == {"drained-0", "drained-1"}


def test_an_app_that_shall_be_stopped_starts_nothing(app):
    app.want("work", state="stopped")

    async def scene():
        async with app.running() as task:
            return await app.end_of(task)

    assert asyncio.run(scene()).end is End.STOPPED
    assert app.started() == []


def test_a_crashed_instance_is_started_again_after_a_pause(app):
    app.want("crash-once", state="running")

    async def scene():
        async with app.running():
            await app.until(lambda: len(app.started()) == 1)
            crashed_at = time.monotonic()
            await app.until_state(standing.RUNNING)
            return time.monotonic() - crashed_at, app.document()["instances"][0]

    seconds, instance = asyncio.run(scene())
    assert seconds >= 1.0
    assert instance["restarts"] == 1
    assert instance["pid"] == app.started()[1]
    assert (
        "instance 0 ended with exit code 1; it is started again in 1 s" in app.log.path.read_text()
    )


def test_a_killed_instance_is_started_again(app, fast_restarts):
    app.want("work", state="running")

    async def scene():
        async with app.running():
            await app.until_state(standing.RUNNING)
            os.kill(app.started()[0], signal.SIGKILL)
            await app.until(lambda: len(app.started()) == 2)

    asyncio.run(scene())
    assert "was ended by SIGKILL" in app.log.path.read_text()


def test_an_app_whose_instance_ends_too_often_fails_by_name(app, fast_restarts):
    app.want("crash", state="running")

    async def scene():
        async with app.running() as task:
            return await app.end_of(task)

    ending = asyncio.run(scene())
    assert (ending.end, ending.failure.cause) == (End.FAILED, "restart_limit")
    assert (
        "more than 8 times within 10 minutes; the last time it ended with exit code 1"
        in ending.failure.error
    )
    assert len(app.started()) == 9
    assert ending.sums.total == 9
    kept = app.document()
    assert (kept["state"], kept["cause"]) == ("failed", "restart_limit")


def test_a_cause_that_a_restart_does_not_cure_ends_the_app_at_once(app):
    app.want("terminal", state="running")

    async def scene():
        async with app.running() as task:
            return await app.end_of(task)

    ending = asyncio.run(scene())
    assert (ending.failure.cause, ending.failure.error) == ("topic_missing", "the topic is gone")
    assert len(app.started()) == 1
    assert app.document()["error"] == "the topic is gone"


def test_a_program_that_cannot_be_started_ends_in_the_limit(app, fast_restarts, monkeypatch):
    app.want("work", state="running")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    async def scene():
        async with app.running() as task:
            return await app.end_of(task)

    failure = asyncio.run(scene()).failure
    assert failure.cause == "restart_limit"
    assert "could not be started: No such file or directory" in failure.error


def test_an_instance_that_hangs_is_killed_and_started_again(app, fast_restarts, monkeypatch):
    monkeypatch.setattr(slot, "SILENCE_SECONDS", 0.5)
    app.want("silent", state="running")

    async def scene():
        async with app.running():
            await app.until(lambda: len(app.started()) == 2)

    asyncio.run(scene())
    assert "said nothing for too long" in app.log.path.read_text()


def test_scaling_up_adds_instances_and_scaling_down_drains_the_surplus(app):
    app.want("work", state="running", instances=1)

    async def scene():
        async with app.running():
            await app.until_state(standing.RUNNING)
            first = app.started()
            app.want(instances=3)
            await app.until(lambda: len(app.alive()) == 3)
            app.want(instances=1)
            await app.until(lambda: len(app.alive()) == 1)
            return first

    assert asyncio.run(scene()) == app.started(0)
    assert {path.name for path in app.folder.glob("drained-[12]")} == {"drained-1", "drained-2"}


def test_a_wished_restart_drains_all_instances_and_starts_them_anew(app):
    app.want("work", state="running", instances=2)

    async def scene():
        async with app.running():
            await app.until(lambda: len(app.alive()) == 2)
            app.store.restart(app.tenant, "weather", by="test")
            await app.until(lambda: len(app.started(0)) == len(app.started(1)) == 2)
            renewed = [app.started(0)[1], app.started(1)[1]]
            await app.until(lambda: sorted(app.alive()) == sorted(renewed))
            await app.until(lambda: [one["pid"] for one in app.document()["instances"]] == renewed)

    asyncio.run(scene())
    assert {path.name for path in app.folder.glob("drained-*")} == {"drained-0", "drained-1"}


def test_an_instance_that_does_not_drain_is_killed(app, short_patience):
    app.want("deaf", state="running")

    async def scene():
        async with app.running() as task:
            await app.until_state(standing.RUNNING)
            app.want(state="stopped")
            return await app.end_of(task)

    ending = asyncio.run(scene())
    assert (ending.end, ending.kills) == (End.STOPPED, 1)
    assert not list(app.folder.glob("drained-*"))


def test_what_a_killed_instance_had_started_ends_with_it(app, short_patience):
    app.want("family", state="running")

    async def scene():
        async with app.running() as task:
            await app.until_state(standing.RUNNING)
            app.want(state="stopped")
            await app.end_of(task)

    asyncio.run(scene())
    children = [int(line) for line in (app.folder / "children").read_text().split()]
    assert children
    assert not [pid for pid in children if is_alive(pid)]


def test_a_cancelled_supervision_lets_instances_drain_and_leaves_none(app):
    app.want("work", "0.5", state="running", instances=2)

    async def scene():
        async with app.running() as task:
            await app.until(lambda: len(app.alive()) == 2)
            await app.until_state(standing.RUNNING)
            task.cancel()
            await asyncio.wait([task])
            return app.alive()

    assert asyncio.run(scene()) == []
    assert len(list(app.folder.glob("drained-*"))) == 2


def test_a_triggerer_that_shuts_its_loop_down_leaves_no_instance(app):
    app.want("deaf", state="running", instances=2)

    async def scene():
        task = asyncio.create_task(app.supervisor().supervise(LEASE_SECONDS))
        await app.until(lambda: len(app.alive()) == 2)
        return task

    started = time.monotonic()
    asyncio.run(scene())
    assert app.alive() == []
    assert time.monotonic() - started < GONE_SECONDS


def test_a_supervisor_whose_app_was_taken_over_drains_and_ends(app):
    app.want("work", state="running")

    async def scene():
        async with app.running() as task:
            await app.until_state(standing.RUNNING)
            epoch = app.store.take_over(app.tenant, "weather", "another run")
            app.store.beat(app.tenant, "weather", epoch, "starting", [])
            return await app.end_of(task)

    assert asyncio.run(scene()).end is End.REPLACED
    assert app.document()["state"] == "starting"
    assert (app.folder / "drained-0").exists()


def test_at_the_end_of_its_lease_an_app_waits_for_the_next_one(app):
    app.want("work", state="running")

    async def scene():
        async with app.running(lease_seconds=1.0) as task:
            return await app.end_of(task)

    assert asyncio.run(scene()).end is End.LEASE
    assert app.document()["state"] == "renewing"
    assert app.document()["wish"]["state"] == "running"


def test_nonsense_on_its_output_is_no_reason_to_end_an_instance(app):
    app.want("garbage", state="running")

    async def scene():
        async with app.running():
            await app.until_state(standing.RUNNING)
            await asyncio.sleep(1.0)
            return app.started(), app.document()["instances"][0]["lag"]

    assert asyncio.run(scene()) == (app.started(), 5)
    assert len(app.started()) == 1
    text = app.log.path.read_text()
    assert "\x1b" not in text
    assert len(text) < 10 * app_log.MAX_BYTES_PER_SECOND


def test_an_app_goes_on_while_the_store_does_not_answer(app):
    app.want("work", state="running")

    async def scene():
        async with app.running() as task:
            await app.until_state(standing.RUNNING)
            app.is_store_down = True
            await asyncio.sleep(2.5)
            assert not task.done()
            app.is_store_down = False
            before = app.document()["beat_at"]
            await app.until(lambda: app.document()["beat_at"] > before)
            return app.alive()

    assert asyncio.run(scene()) == app.started()
    assert len(app.started()) == 1


def left_after(seconds, alive):
    """Wait until no process is left; return those that are, and end them."""
    deadline = time.monotonic() + seconds
    while (pids := alive()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


ORPHAN = """
import asyncio, sys
import pymongo
sys.path.insert(0, {folder!r})
from pathlib import Path
import test_supervisor
from mysimbdp.streaming.store import StreamStore

store = StreamStore(pymongo.MongoClient({url!r})["mysimbdp"])
app = test_supervisor.App(store, {tenant!r}, Path({place!r}))
asyncio.run(app.supervisor().supervise(100))
"""


@pytest.mark.parametrize("behaviour", ["work", "deaf"])
def test_no_instance_outlives_a_triggerer_whose_parent_was_killed(app, mongod, tmp_path, behaviour):
    app.want(behaviour, state="running", instances=2)
    text = ORPHAN.format(
        folder=str(FAKE.parent), url=mongod.url(), tenant=app.tenant, place=str(tmp_path)
    )
    script = tmp_path / "runner.py"
    script.write_text(text)
    parent_code = textwrap.dedent(f"""
        import subprocess, sys
        runner = subprocess.Popen([sys.executable, {str(script)!r}])
        print(runner.pid, flush=True)
        runner.wait()
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", parent_code], stdout=subprocess.PIPE, text=True
    )
    runner = int(parent.stdout.readline())
    try:
        asyncio.run(app.until(lambda: len(app.alive()) == 2))
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert left_after(GONE_SECONDS, lambda: [*app.alive(), *filter(is_alive, [runner])]) == []
    assert len(list(tmp_path.glob("drained-*"))) == (2 if behaviour == "work" else 0)
