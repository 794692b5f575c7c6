"""Registrations of topics and stream apps, and every way in which one does not fit."""

import textwrap

import pytest

from mysimbdp.agreements.model import Agreement
from mysimbdp.pipelines import vetting

FILE = "tenant_pipelines/acme/pipelines.yaml"
CALLABLE = "topics: [events]\ncallable: events:ingest\ncollections: {rows: {}}\n"
SCRIPT = "topics: [events]\nscript: script.py\n"


def agree(**streams):
    limits = {"max_publish_rate": "1MB/s", "max_consume_rate": "1MB/s", **streams}
    return Agreement(
        data_constraints={"file_types": ["CSV"], "max_file_size": "1MB"},
        service_agreement={
            "max_throughput": "1MB/s",
            "max_concurrent_ingestions": 1,
            "storage_space_staging": "10MB",
            "max_memory": "1GB",
        },
        streams=limits,
        contacts=["ops@acme.example"],
    )


@pytest.fixture
def vet(tmp_path):
    """Give a function that reads one stream app; it returns the value and the problems by key."""
    (tmp_path / "events.py").write_text("def ingest(messages):\n    return {}\n")
    (tmp_path / "script.py").write_text("print()\n")

    def read(app, agreement=None, topics="events: {}"):
        path = tmp_path / "pipelines.yaml"
        path.write_text(f"topics: {{{topics}}}\nstreams:\n  app:\n" + textwrap.indent(app, "    "))
        value, problems = vetting.read(path, FILE, agreement or agree())
        assert (value is None) == bool(problems)
        return value, {problem.key: (problem.expected, problem.found) for problem in problems}

    return read


def test_the_defaults_suit_a_callable(vet):
    value, problems = vet(CALLABLE)

    assert problems == {}
    app = value.streams["app"]
    assert (app.batch, app.sink, app.instances, app.window.seconds) == ("records", "coredms", 1, 10)
    assert app.collections["rows"].key is None
    assert app.memory_bytes(agree()) == 2**30
    assert value.topics["events"].partitions == 1


@pytest.mark.parametrize("name", ["others", "any"])
def test_an_app_reads_registered_topics_only(vet, name):
    _, problems = vet(CALLABLE.replace("[events]", f"[events, {name}]"))

    assert problems == {"streams.app.topics[1]": ("a topic that is registered under topics", name)}


@pytest.mark.parametrize(
    ("app", "key"),
    [
        (CALLABLE + "arguments: [a]\n", "streams.app.arguments"),
        (SCRIPT + "batch: lines\n", "streams.app.batch"),
        (SCRIPT + "max_reject_ratio: 0.5\n", "streams.app.max_reject_ratio"),
        (CALLABLE + "instances: 3\n", "streams.app.instances"),
        (CALLABLE + "resources: {memory: 2GB}\n", "streams.app.resources.memory"),
        (CALLABLE.replace("events:ingest", "events:nothing"), "streams.app.callable"),
        (SCRIPT.replace("script.py", "other.py"), "streams.app.script"),
        (CALLABLE.replace("{rows: {}}", "{rejects: {}}"), "streams.app.collections.rejects"),
        (CALLABLE + "sink: elsewhere\n", "streams.app.sink"),
        (CALLABLE + "script: script.py\n", "streams.app"),
        (CALLABLE.replace("collections: {rows: {}}\n", ""), "streams.app"),
    ],
)
def test_what_does_not_fit_is_told_at_its_key(vet, app, key):
    _, problems = vet(app)

    assert list(problems) == [key]


def test_a_broken_key_does_not_hide_an_unknown_topic(vet):
    _, problems = vet(CALLABLE.replace("[events]", "[others]") + "sink: elsewhere\n")

    assert set(problems) == {"streams.app.sink", "streams.app.topics[0]"}


def test_streams_need_an_agreement_with_streams(vet):
    without = Agreement.model_validate(agree().model_dump(mode="json") | {"streams": None})

    _, problems = vet(CALLABLE, without)

    assert problems == {"streams": ("nothing, as the agreement has no streams", "app")}


@pytest.mark.parametrize("name", ["metrics", "Events", "a.b"])
def test_a_topic_has_a_name_that_is_free_and_plain(vet, name):
    _, problems = vet(CALLABLE, topics=f"events: {{}}, {name}: {{}}")

    assert list(problems) == [f"topics.{name}"]
