import inspect
import json
import os
import subprocess
import sys
import time

import attrs
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError, TaskDeferred
from airflow.serialization.serialized_objects import DagSerialization
from stream_tenant import PROBLEM, ROOT, TENANT

from mysimbdp import registry
from mysimbdp.orchestration import stream_tasks, stream_trigger
from mysimbdp.orchestration.stream_trigger import StreamTrigger

GENEROUS_SECONDS = 20


@pytest.fixture
def parse(parsing):
    """Give a function that publishes tenants and parses the one DAG file."""

    def parse(*tenants):
        registry.publish(parsing.places.registry, tenants)
        return DagBag(dag_folder=str(ROOT / "dags" / "stream_ingestion.py"))

    return parse


def named(name, **changes):
    return attrs.evolve(TENANT, tenant=name, **changes)


def test_every_registered_stream_app_is_a_dag_that_only_runs_on_demand(parse):
    bag = parse(TENANT, named("tenant2"))
    assert not bag.import_errors
    assert sorted(bag.dags) == [
        "tenant1.blackbox.stream",
        "tenant1.weather.stream",
        "tenant2.blackbox.stream",
        "tenant2.weather.stream",
    ]
    assert {dag.schedule for dag in bag.dags.values()} == {None}


def test_a_dag_names_its_tenant_and_plan_and_belongs_to_its_role(parse):
    dag = parse(TENANT).dags["tenant1.weather.stream"]
    assert dag.tags == {"stream", "tenant:tenant1", "plan:premium"}
    assert dag.owner == "tenant1"
    assert dag.access_control == {
        "tenant_tenant1": {
            "DAGs": {"can_read", "can_edit"},
            "DAG Runs": {"can_create", "can_read"},
        }
    }


def test_a_stop_does_not_wait_behind_the_run_of_the_start(parse):
    dag = parse(TENANT).dags["tenant1.weather.stream"]
    assert dag.max_active_runs > 1
    assert dag.task_dict["stream"].pool == "default_pool"


def test_the_page_tells_what_is_read_and_written_what_was_agreed_and_what_to_do(parse):
    page = parse(TENANT).dags["tenant1.weather.stream"].doc_md
    for told in (
        "`tenant1.readings`",
        "`weather:ingest`",
        "`sensors`, one document for each `id`",
        "`tenant1.weather`",
        "10s (10 s)",
        "Average ingestion time, at most | 5s (5 s)",
        "1,000 messages",
        "action: scale",
        "mysimbdp streams start|stop|scale|restart tenant1 weather",
        "/api/v2/dags/tenant1.weather.stream/dagRuns",
        "Pausing this DAG does not stop the app",
    ):
        assert told in page
    assert "`tenant1.own-group`" in parse(TENANT).dags["tenant1.blackbox.stream"].doc_md


def test_the_form_takes_no_more_instances_than_agreed(parse):
    params = parse(TENANT).dags["tenant1.weather.stream"].params
    assert params.dump() == {"action": "start", "instances": None}
    assert accepted(params, instances=4, action="scale")
    assert not accepted(params, instances=5)
    assert not accepted(params, instances=0)
    assert not accepted(params, action="explode")


def test_only_a_script_gets_arguments(parse):
    dags = parse(TENANT).dags
    assert "arguments" not in dags["tenant1.weather.stream"].params
    params = dags["tenant1.blackbox.stream"].params
    assert params["arguments"] == ["--fast", "1"]
    assert accepted(params, arguments=["a b", "c"])
    assert not accepted(params, arguments="a b")


def accepted(params, **fields):
    given = ParamsDict({name: params.get_param(name) for name in params})
    try:
        for name, value in fields.items():
            given[name] = value
        given.validate()
    except ParamValidationError:
        return False
    return True


def test_an_invalid_tenant_keeps_its_dags_and_sees_why_on_top(parse):
    dag = parse(named("tenant1", problems=(PROBLEM,))).dags["tenant1.weather.stream"]
    assert "stopped" in dag.tags
    first_lines = dag.doc_md[: dag.doc_md.index("# tenant1: weather")]
    for figure in (PROBLEM.file, PROBLEM.key, PROBLEM.expected, PROBLEM.found):
        assert figure in first_lines


def test_a_tenant_that_never_was_live_has_no_stream_dag(parse):
    bag = parse(named("tenant1", agreement=None, registration=None, problems=(PROBLEM,)), TENANT)
    assert not bag.import_errors


def test_a_tenant_that_cannot_be_built_leaves_the_others_whole(parse):
    # Airflow takes no tag of that length; such a name never passes the registrar.
    endless = "x" * 99
    bag = parse(named(endless), TENANT)
    assert not bag.import_errors
    assert "tag cannot be longer" in bag.dags[f"{endless}.weather.stream"].doc_md
    assert "stream" in bag.dags["tenant1.weather.stream"].task_dict


def test_a_task_process_builds_only_its_own_dag(parse, monkeypatch):
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "tenant2.weather.stream")
    assert list(parse(TENANT, named("tenant2")).dags) == ["tenant2.weather.stream"]


def test_parsing_never_imports_tenant_code(parse, tmp_path):
    folder = tmp_path / "tenant_pipelines" / "tenant1"
    folder.mkdir(parents=True)
    trap = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()\n"
    for name in ("weather.py", "box.py", "__init__.py"):
        (folder / name).write_text(trap)
    assert len(parse(TENANT).dags) == 2
    assert not list(folder.glob("*.ran"))


def test_before_the_first_publication_there_is_no_dag_and_no_error(parsing):
    bag = DagBag(dag_folder=str(ROOT / "dags" / "stream_ingestion.py"))
    assert (bag.dags, bag.import_errors) == ({}, {})


def test_a_thousand_apps_are_parsed_in_time(parse, record_property):
    tenants = [named(f"tenant{number:03}") for number in range(500)]
    started = time.monotonic()
    bag = parse(*tenants)
    seconds = time.monotonic() - started
    record_property("parse_seconds_1000_apps", round(seconds, 2))
    assert len(bag.dags) == 1000
    assert seconds < GENEROUS_SECONDS


VERSIONS = """
import os
from airflow.dag_processing.dagbag import DagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization
folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
bag = DagBag(dag_folder=os.path.join(folder, "stream_ingestion.py"))
for dag_id, dag in bag.dags.items():
    print("VERSION", dag_id, SerializedDagModel.hash(DagSerialization.to_dict(dag)))
"""


def test_parsing_again_makes_no_new_dag_version(parse):
    parse(TENANT)
    assert versions(hash_seed="1") == versions(hash_seed="2")


def versions(hash_seed):
    """Parse in a process of its own; return the hash by which Airflow tells DAG versions apart."""
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", VERSIONS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = {line for line in done.stdout.splitlines() if line.startswith("VERSION")}
    assert len(found) == 2
    return found


def test_a_trigger_is_made_again_from_what_it_serializes_and_carries_no_login():
    path, arguments = StreamTrigger("tenant1", "weather", "run 1").serialize()
    assert path == f"{stream_trigger.__name__}.StreamTrigger"
    assert StreamTrigger(**json.loads(json.dumps(arguments))).serialize() == (path, arguments)
    assert arguments == {
        "tenant": "tenant1",
        "app": "weather",
        "run_id": "run 1",
        "lease_seconds": 3600.0,
    }


@pytest.mark.parametrize("odd", [None, "", "../..", 7, object()])
def test_no_argument_makes_the_constructor_of_the_trigger_raise(odd):
    # Airflow ends all triggers of a triggerer when a constructor raises.
    StreamTrigger(odd, odd, odd, odd)
    assert "run(" not in inspect.getsource(StreamTrigger.__init__)


def test_at_the_end_of_a_lease_the_task_defers_again():
    task = stream_tasks.StreamOperator(task_id="stream", tenant="tenant1", app="weather")
    with pytest.raises(TaskDeferred) as deferred:
        task.execute_complete({"run_id": "run 1"}, {"end": "lease", "epoch": 3})
    assert deferred.value.trigger.serialize()[1]["run_id"] == "run 1"
    assert deferred.value.method_name == "execute_complete"


def test_a_dag_is_serialized_for_the_scheduler(parse):
    encoded = DagSerialization.to_dict(parse(TENANT).dags["tenant1.weather.stream"])
    (task,) = encoded["dag"]["tasks"]
    assert task["__var"]["task_type"] == "StreamOperator"
    assert task["__var"]["weight_rule"] == "absolute"
