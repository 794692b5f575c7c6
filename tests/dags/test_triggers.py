import asyncio
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.triggers.shared_stream import SharedStreamManager

from mysimbdp.orchestration import triggers

PATIENCE_SECONDS = 10


@pytest.fixture
def root(tmp_path):
    for tenant in ("tenant1", "tenant2"):
        (tmp_path / tenant / "taxi").mkdir(parents=True)
    return tmp_path


def land(root, tenant, name):
    path = Path(root) / tenant / "taxi" / name
    path.write_text("a\n1\n")
    earlier = time.time() - 60
    os.utime(path, (earlier, earlier))
    return path


def inbox(root, tenant):
    return triggers.InboxTrigger(str(root), tenant, "taxi")


def subscribe(manager, number, trigger):
    """Listen as the triggerer does; return the trigger's events."""
    stream = manager.subscribe(trigger_id=number, trigger=trigger, key=trigger.shared_stream_key())
    return trigger.filter_shared_stream(stream)


async def following(events):
    async with asyncio.timeout(PATIENCE_SECONDS):
        return (await anext(events)).payload


def test_each_inbox_hears_of_its_own_files_only(root):
    async def scene():
        manager = SharedStreamManager()
        first = subscribe(manager, 1, inbox(root, "tenant1"))
        second = subscribe(manager, 2, inbox(root, "tenant2"))
        heard = asyncio.gather(following(first), following(second))
        await asyncio.sleep(0)
        land(root, "tenant2", "b.csv")
        land(root, "tenant1", "a.csv")
        answer = await heard
        await manager.stop_all()
        return answer

    assert asyncio.run(scene()) == [
        {"files": ["a.csv"], "count": 1},
        {"files": ["b.csv"], "count": 1},
    ]


def test_one_who_listens_late_hears_of_files_that_already_wait(root):
    land(root, "tenant1", "a.csv")
    land(root, "tenant2", "b.csv")

    async def scene():
        manager = SharedStreamManager()
        await following(subscribe(manager, 1, inbox(root, "tenant1")))
        late = await following(subscribe(manager, 2, inbox(root, "tenant2")))
        await manager.stop_all()
        return late["files"]

    assert asyncio.run(scene()) == ["b.csv"]


def test_watching_goes_on_after_the_staging_root_could_not_be_read(root, monkeypatch, caplog):
    monkeypatch.setattr(triggers, "RECOVERY_SECONDS", 0.05)
    hidden = root.rename(root.with_name("away"))
    root.write_text("no folder")

    async def scene():
        events = inbox(root, "tenant1").run()
        heard = asyncio.ensure_future(following(events))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "Looking for files failed" not in caplog.text:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
        root.unlink()
        hidden.rename(root)
        land(root, "tenant1", "a.csv")
        return (await heard)["files"]

    assert asyncio.run(scene()) == ["a.csv"]


def test_a_name_that_is_no_text_is_signalled_readably(root):
    land(root, "tenant1", os.fsdecode(b"caf\xe9\n.csv"))
    payload = asyncio.run(following(inbox(root, "tenant1").run()))
    assert payload["files"] == ["caf\\udce9\\n.csv"]


def test_a_trigger_is_made_again_from_what_it_serialises(root):
    for trigger in (
        inbox(root, "tenant1"),
        triggers.FilesTrigger(str(root), "tenant1", "taxi", "*.csv", "2026-11-22T00:00:00+00:00"),
    ):
        path, arguments = trigger.serialize()
        again = getattr(triggers, path.rpartition(".")[2])(**arguments)
        assert path.startswith("mysimbdp.orchestration.triggers.")
        assert again.serialize() == (path, arguments)


def test_a_file_is_signalled_once_and_again_when_nobody_took_it():
    signals = triggers.Signals()
    assert signals.due(["a"], 100.0) == ["a"]
    assert signals.due(["a"], 129.9) == []
    assert signals.due(["a"], 130.0) == ["a"]


def test_a_file_that_nobody_takes_is_signalled_ever_more_rarely():
    signals = triggers.Signals()
    signalled = [now for now in range(2000) if signals.due(["a"], float(now))]
    assert signalled == [0, 30, 90, 210, 450, 930, 1410, 1890]


def test_files_that_land_while_a_run_starts_are_gathered_in_one_signal():
    signals = triggers.Signals()
    assert signals.due(["a"], 100.0) == ["a"]
    assert signals.due(["a", "b"], 100.5) == []
    assert signals.due(["a", "b", "c"], 101.5) == []
    assert signals.due(["a", "b", "c"], 102.0) == ["b", "c"]


def test_a_name_that_was_taken_and_lands_anew_is_signalled_at_once():
    signals = triggers.Signals()
    signals.due(["a"], 100.0)
    signals.due([], 101.0)
    assert signals.due(["a"], 103.0) == ["a"]


def test_a_run_by_hand_goes_on_when_its_files_arrive(root):
    until = (datetime.now(UTC) + timedelta(seconds=PATIENCE_SECONDS)).isoformat()

    async def scene():
        events = triggers.FilesTrigger(str(root), "tenant1", "taxi", "*.csv", until).run()
        heard = asyncio.ensure_future(following(events))
        await asyncio.sleep(0)
        land(root, "tenant1", "other.json")
        land(root, "tenant1", "a.csv")
        return await heard

    assert asyncio.run(scene()) == ["a.csv"]


def test_a_run_by_hand_hears_when_nothing_came_in_time(root):
    until = (datetime.now(UTC) + timedelta(seconds=0.1)).isoformat()
    events = triggers.FilesTrigger(str(root), "tenant1", "taxi", "*", until).run()
    assert asyncio.run(following(events)) == []
