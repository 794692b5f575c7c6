import attrs
import pytest

from mysimbdp import errors, registry
from mysimbdp.agreements.model import Agreement
from mysimbdp.pipelines.registration import StreamApp
from mysimbdp.streaming import change, request, standing
from mysimbdp.streaming.request import Action

AGREEMENT = {
    "data_constraints": {"file_types": ["CSV"], "max_file_size": "1MB"},
    "service_agreement": {
        "max_throughput": "5MB/s",
        "max_concurrent_ingestions": 2,
        "storage_space_staging": "1GB",
        "max_memory": "1GB",
    },
    "streams": {
        "max_publish_rate": "1MB/s",
        "max_consume_rate": "1MB/s",
        "max_instances": 3,
    },
    "contacts": ["ops@tenant1.example"],
}
CALLABLE = StreamApp(topics=["t"], callable="m:f", collections={"c": {}}, instances=2)
SCRIPT = StreamApp(topics=["t"], script="s.py", arguments=["--fast"])


def tenant(**changes):
    agreement = Agreement.model_validate({**AGREEMENT, **changes})
    return registry.RegisteredTenant(tenant="tenant1", agreement=agreement, registration=None)


def asked(**fields):
    return request.read("tenant1", "weather", fields)


def refusal(app=CALLABLE, registered=None, **fields):
    with pytest.raises(errors.UsageError) as caught:
        request.check(asked(**fields), registered or tenant(), app)
    return str(caught.value)


def test_an_empty_form_starts_the_app_as_registered():
    assert asked().action is Action.START
    assert request.start_wish(asked(), CALLABLE) == {
        "state": "running",
        "instances": 2,
        "arguments": [],
    }
    assert request.start_wish(asked(), SCRIPT)["arguments"] == ["--fast"]


def test_what_is_given_goes_before_what_is_registered():
    given = asked(instances=3, arguments=["a", "b"])
    wish = request.start_wish(given, SCRIPT)
    assert (wish["instances"], wish["arguments"]) == (3, ["a", "b"])
    assert request.start_wish(asked(arguments=[]), SCRIPT)["arguments"] == []


def test_more_instances_than_agreed_are_refused_with_both_figures():
    assert refusal(instances=4) == (
        "tenant1.weather: instances has to be between 1 and 3, as agreed; found '4'."
    )
    assert "found '0'" in refusal(instances=0)
    request.check(asked(instances=3), tenant(), CALLABLE)


def test_arguments_are_for_scripts_only():
    assert "arguments are for scripts only" in refusal(arguments=["x"])
    request.check(asked(arguments=["x"]), tenant(), SCRIPT)
    request.check(asked(arguments=[]), tenant(), CALLABLE)


@pytest.mark.parametrize("arguments", [["x" * 5000], ["a\0b"], ["x"] * 101])
def test_arguments_that_no_command_line_takes_are_refused(arguments):
    assert "at most 100 of 4096 characters" in refusal(app=SCRIPT, arguments=arguments)


def test_a_scale_needs_a_number():
    assert "scale needs instances" in refusal(action="scale")


def test_without_streams_in_the_agreement_nothing_runs():
    assert "has no streams" in refusal(registered=tenant(streams=None))


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "explode"},
        {"action": ["start"]},
        {"instances": "2"},
        {"instances": True},
        {"instances": 1.5},
        {"arguments": "a b"},
        {"arguments": [1]},
        {"arguments": {"a": 1}},
    ],
)
def test_a_run_started_past_the_form_is_read_with_care(fields):
    with pytest.raises(errors.UsageError):
        asked(**fields)


def app(*pids, state="running", actual="running", wanted=2):
    instances = [{"pid": pid, "state": state, "number": n} for n, pid in enumerate(pids)]
    document = {"wish": {"state": "running", "instances": wanted}, "instances": instances}
    found = standing.of(document, "tenant1", "weather")
    return attrs.evolve(found, actual=actual, instances=tuple(instances))


def test_a_scaled_app_is_done_when_as_many_work_as_are_wished_for():
    wish = asked(action="scale", instances=2)
    assert not change.is_done(wish, app(1), app(1))
    assert not change.is_done(wish, app(1), app(1, 2, 3))
    assert not change.is_done(wish, app(1), app(1, 2, state="starting"))
    assert change.is_done(wish, app(1), app(1, 2))


def test_a_restarted_app_is_done_when_no_process_is_an_old_one():
    wish = asked(action="restart")
    assert not change.is_done(wish, app(1, 2), app(1, 2))
    assert not change.is_done(wish, app(1, 2), app(3, 2))
    assert change.is_done(wish, app(1, 2), app(3, 4))


def test_a_stopped_app_is_done_when_nobody_supervises_it():
    wish = asked(action="stop")
    assert not change.is_done(wish, app(1, 2), app(1, 2, actual="draining"))
    assert change.is_done(wish, app(1, 2), app(actual="stopped"))


def test_a_stop_says_how_much_was_done_and_whether_all_of_it_is_committed():
    figures = {"total": 12345, "rejected": 3, "last_message_at": "2026-11-23T10:00:00+00:00"}
    drained = change.stop_sentence("tenant1.weather", **figures, kills=0)
    assert "12,345 messages since its start, 3 rejected" in drained
    assert drained.endswith("everything taken is stored and committed.")
    killed = change.stop_sentence("tenant1.weather", **figures, kills=1)
    assert "1 instance(s) did not drain in time" in killed
    assert "read again at the next start" in killed
