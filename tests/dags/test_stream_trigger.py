"""The task and the trigger of a stream app, with real processes and a real mongod."""

import asyncio
import contextlib
import json
import os
import sys
import time
from types import SimpleNamespace

import attrs
import psutil
import pymongo
import pytest
from airflow.sdk.exceptions import TaskDeferred
from pymongo.uri_parser import parse_uri
from stream_tenant import PROBLEM, ROOT, TENANT

from mysimbdp import errors, naming, registry
from mysimbdp.orchestration import stream_reign, stream_tasks, stream_trigger
from mysimbdp.orchestration.stream_trigger import StreamTrigger
from mysimbdp.streaming import app_log, process
from mysimbdp.streaming.store import StreamStore

pytestmark = pytest.mark.mongo

FAKE = ROOT / "tests" / "integration" / "fake_instance.py"
PATIENCE_SECONDS = 20


@attrs.define
class Platform:
    """The published tenant, Airflow's connections, and the store; instances are played."""

    store: StreamStore
    tenant: registry.RegisteredTenant
    places: object

    @property
    def name(self):
        return self.tenant.tenant

    def publish(self, **changes):
        registry.publish(self.places.registry, [attrs.evolve(self.tenant, **changes)])

    def document(self, app="blackbox"):
        return self.store.read(self.name, app)

    def pids(self):
        found = [
            path.read_text().split()
            for path in self.places.state.glob("started-*")
            if path.exists()
        ]
        return [int(pid) for pids in found for pid in pids if is_alive(int(pid))]

    def operator(self, app="blackbox"):
        return stream_tasks.StreamOperator(task_id="stream", tenant=self.name, app=app)

    def context(self, run_id="run 1", under_way=(), **fields):
        def count(dag_id, run_ids, states):
            assert dag_id == f"{self.name}.blackbox.stream"
            return len(set(run_ids) & set(under_way))

        return {
            "params": {"action": "start", "instances": None, "arguments": ["work"], **fields},
            "run_id": run_id,
            "dag_run": SimpleNamespace(triggering_user_name="ops"),
            "dag": SimpleNamespace(dag_id=f"{self.name}.blackbox.stream"),
            "ti": SimpleNamespace(get_dr_count=count),
        }

    def start(self, run_id="run 1", **fields):
        """Run the task of a start; return the trigger that it defers to."""
        with pytest.raises(TaskDeferred) as deferred:
            self.operator().execute(self.context(run_id, **fields))
        return deferred.value.trigger

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - files and databases set no event
                await asyncio.sleep(0.05)

    async def until_running(self):
        await self.until(lambda: self.document().get("state") == "running")


def is_alive(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def platform(mongod, platform_database, parsing, tenant_name, monkeypatch):
    made = Platform(
        StreamStore(platform_database), attrs.evolve(TENANT, tenant=tenant_name()), parsing.places
    )
    made.publish()
    parsed = parse_uri(mongod.url())
    login = {"login": parsed["username"], "password": parsed["password"]}
    mongo = {"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port, **login}
    mongo["extra"] = {"authSource": "admin", "directConnection": True}
    kafka = {"conn_type": "kafka", "extra": {"bootstrap.servers": "127.0.0.1:1"}}
    for name, body in {
        naming.PLATFORM_CONNECTION: mongo,
        naming.mongo_connection(made.name): mongo,
        naming.KAFKA_CONNECTION: kafka,
        naming.kafka_connection(made.name): kafka,
    }.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(body))
    program = process.Program(
        command=(sys.executable, "-I", "-S", str(FAKE)),
        environment={"PATH": os.environ["PATH"], "FOLDER": str(made.places.state)},
    )
    monkeypatch.setattr(stream_reign, "Program", lambda **_: program)
    yield made
    stream_reign._platform.cache_clear()
    assert made.pids() == []


async def only_event(trigger):
    """Run a trigger as the triggerer does, to its one event."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            (event,) = [event.payload async for event in trigger.run()]
            return event
    finally:
        await trigger.cleanup()


def test_a_started_app_runs_until_it_is_stopped_and_the_task_says_what_it_did(platform, capsys):
    trigger = platform.start(instances=2)

    async def scene():
        supervising = asyncio.create_task(only_event(trigger))
        await platform.until(lambda: len(platform.pids()) == 2)
        await platform.until_running()
        stop = platform.context("run 2", action="stop")
        await asyncio.to_thread(platform.operator().execute, stop)
        return await supervising

    event = asyncio.run(scene())
    assert (event["end"], event["total"], event["kills"]) == ("stopped", 14, 0)
    platform.operator().execute_complete(platform.context(), event)
    told = f"{platform.name}.blackbox is stopped: 14 messages since its start, 2 rejected"
    # By the run that stopped it, and by the one that had started it.
    assert capsys.readouterr().out.count(told) == 2
    assert platform.document()["wish"]["by"] == "ops"


def test_an_app_is_scaled_and_restarted_by_runs_that_wait_until_it_is_so(platform, capsys):
    trigger = platform.start()

    async def scene():
        supervising = asyncio.create_task(only_event(trigger))
        await platform.until_running()
        for fields in ({"action": "scale", "instances": 3}, {"action": "restart"}):
            context = platform.context("run 2", **fields)
            await asyncio.to_thread(platform.operator().execute, context)
            assert len(platform.document()["instances"]) == 3
        platform.store.want(platform.name, "blackbox", by="test", state="stopped")
        await supervising

    asyncio.run(scene())
    told = capsys.readouterr().out
    assert "runs with 3 instance(s)" in told
    assert "was restarted: 3 instance(s) began anew" in told
    started = [path.read_text().split() for path in platform.places.state.glob("started-*")]
    assert [len(pids) for pids in started] == [2, 2, 2]


def test_a_second_start_says_that_the_app_runs_already(platform, capsys):
    trigger = platform.start()

    async def scene():
        supervising = asyncio.create_task(only_event(trigger))
        await platform.until_running()
        second = platform.context("run 2", under_way=["run 1"])
        await asyncio.to_thread(platform.operator().execute, second)
        platform.store.want(platform.name, "blackbox", by="test", state="stopped")
        return await supervising

    assert asyncio.run(scene())["end"] == "stopped"
    assert "runs already, by the run run 1" in capsys.readouterr().out


def test_a_start_takes_over_from_a_run_that_a_person_has_ended(platform):
    first = platform.start("run 1")

    async def scene():
        one = asyncio.create_task(only_event(first))
        await platform.until_running()
        second = await asyncio.to_thread(platform.start, "run 2")
        other = asyncio.create_task(only_event(second))
        ended = await one
        await platform.until(lambda: len(platform.pids()) == 1)
        platform.store.want(platform.name, "blackbox", by="test", state="stopped")
        return ended, await other

    ended, last = asyncio.run(scene())
    assert (ended["end"], last["end"]) == ("replaced", "stopped")
    assert last["epoch"] == ended["epoch"] + 1
    platform.operator().execute_complete(platform.context(), ended)


def test_at_the_end_of_a_lease_the_instances_go_on_without_a_gap(platform):
    platform.start()

    async def scene():
        first = await only_event(StreamTrigger(platform.name, "blackbox", "run 1", 3.0))
        pids = platform.pids()
        await asyncio.sleep(1)
        second = StreamTrigger(platform.name, "blackbox", "run 1", 60.0)
        going_on = asyncio.create_task(only_event(second))
        await asyncio.sleep(2)
        assert platform.pids() == pids
        platform.store.want(platform.name, "blackbox", by="test", state="stopped")
        return first, await going_on, pids

    first, second, pids = asyncio.run(scene())
    assert (first["end"], second["end"], len(pids)) == ("lease", "stopped", 1)
    assert first["epoch"] == second["epoch"]
    assert not stream_trigger._handed_over


def test_a_lease_that_nobody_renews_ends_the_instances(platform, monkeypatch):
    monkeypatch.setattr(stream_trigger, "HANDOVER_SECONDS", 1.0)
    platform.start()

    async def scene():
        event = await only_event(StreamTrigger(platform.name, "blackbox", "run 1", 2.0))
        await platform.until(lambda: platform.document()["state"] == "renewing")
        return event

    assert asyncio.run(scene())["end"] == "lease"
    assert platform.pids() == []
    assert platform.document()["wish"]["state"] == "running"


def test_another_triggerer_goes_on_with_the_figures_of_the_same_run(platform):
    platform.start()

    async def scene(lasts):
        supervising = asyncio.create_task(
            only_event(StreamTrigger(platform.name, "blackbox", "run 1"))
        )
        await platform.until(lambda: platform.document().get("total") == lasts)
        supervising.cancel()
        await asyncio.wait([supervising])

    asyncio.run(scene(7))
    stream_reign._platform.cache_clear()
    asyncio.run(scene(14))


def test_a_cancelled_trigger_leaves_no_process(platform):
    trigger = platform.start(arguments=["deaf"])

    async def scene():
        supervising = asyncio.create_task(only_event(trigger))
        await platform.until_running()
        started = time.monotonic()
        supervising.cancel()
        await asyncio.wait([supervising])
        return platform.pids(), time.monotonic() - started

    pids, seconds = asyncio.run(scene())
    assert pids == []
    assert seconds < 8


def test_a_failed_app_fails_its_task_by_name_and_stays_stopped(platform):
    trigger = platform.start(arguments=["terminal"])
    event = asyncio.run(only_event(trigger))
    assert (event["end"], event["cause"]) == ("failed", "topic_missing")
    with pytest.raises(errors.IngestionFailedError) as failed:
        platform.operator().execute_complete(platform.context(), event)
    assert f"{platform.name}.blackbox failed because of topic_missing: the topic is gone" in str(
        failed.value
    )
    document = platform.document()
    assert (document["state"], document["wish"]["state"]) == ("failed", "stopped")


def test_a_failure_does_not_stop_an_app_that_was_started_again_meanwhile(platform):
    event = asyncio.run(only_event(platform.start(arguments=["terminal"])))
    platform.start("run 2")
    platform.store.take_over(platform.name, "blackbox", "run 2")
    with pytest.raises(errors.IngestionFailedError):
        platform.operator().execute_complete(platform.context(), event)
    assert platform.document()["wish"]["state"] == "running"


def test_a_running_app_of_a_tenant_that_is_stopped_drains_and_fails_by_name(platform):
    trigger = platform.start()

    async def scene():
        supervising = asyncio.create_task(only_event(trigger))
        await platform.until_running()
        platform.publish(problems=(PROBLEM,))
        return await supervising

    event = asyncio.run(scene())
    assert (event["end"], event["cause"]) == ("failed", "tenant_stopped")
    assert PROBLEM.found in event["error"]
    assert (platform.places.state / "drained-0").exists()
    assert platform.document()["cause"] == "tenant_stopped"


def test_a_stopped_tenant_starts_nothing_but_can_stop(platform):
    platform.publish(problems=(PROBLEM,))
    with pytest.raises(errors.TenantStoppedError):
        platform.operator().execute(platform.context())
    platform.operator().execute(platform.context(action="stop"))
    assert platform.document()["wish"]["state"] == "stopped"


def test_a_registry_that_is_missing_for_a_moment_stops_nothing(platform):
    trigger = platform.start()

    async def scene():
        supervising = asyncio.create_task(only_event(trigger))
        await platform.until_running()
        platform.places.registry.unlink()
        await asyncio.sleep(2)
        assert not supervising.done()
        platform.store.want(platform.name, "blackbox", by="test", state="stopped")
        return await supervising

    assert asyncio.run(scene())["end"] == "stopped"


def test_more_than_agreed_is_refused_before_anything_is_changed(platform):
    with pytest.raises(errors.UsageError, match="between 1 and 4, as agreed; found '5'"):
        platform.operator().execute(platform.context(instances=5))
    assert platform.document() == {}


@pytest.mark.parametrize("action", ["scale", "restart"])
def test_an_app_that_does_not_run_can_only_be_started(platform, action):
    with pytest.raises(errors.UsageError, match=f"is stopped, so it cannot {action}"):
        platform.operator().execute(platform.context(action=action, instances=1))


def test_a_missing_connection_fails_the_task_and_names_it(platform, monkeypatch):
    trigger = platform.start()
    monkeypatch.delenv(f"AIRFLOW_CONN_{naming.kafka_connection(platform.name).upper()}")
    event = asyncio.run(only_event(trigger))
    assert event["end"] == "failed"
    assert f"{naming.kafka_connection(platform.name)} does not exist" in event["error"]


def test_a_store_that_is_down_at_the_start_is_waited_for(platform, monkeypatch):
    trigger = platform.start()
    down = [errors.ServiceUnavailableError("down"), pymongo.errors.ServerSelectionTimeoutError()]
    take_over = stream_reign._take_over

    def flaky(*arguments):
        if down:
            raise down.pop()
        return take_over(*arguments)

    monkeypatch.setattr(stream_reign, "_take_over", flaky)
    monkeypatch.setattr(stream_reign, "_PAUSE_SECONDS", 0.1)

    async def scene():
        supervising = asyncio.create_task(only_event(trigger))
        await platform.until_running()
        platform.store.want(platform.name, "blackbox", by="test", state="stopped")
        return await supervising

    assert asyncio.run(scene())["end"] == "stopped"
    log = app_log.in_folder(platform.places.logs, platform.name, "blackbox").path
    assert "started as work" in log.read_text()
