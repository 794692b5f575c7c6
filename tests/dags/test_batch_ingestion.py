import json
import os
import subprocess
import sys
import time

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from mysimbdp.agreements.load import Problem

PROBLEM = Problem(
    file="constraints/tenant1.yaml",
    key="service_agreement.max_memory",
    expected="a size such as 350MB",
    found="'lots'",
)
GENEROUS_SECONDS = 10
FORBIDDEN = ("socket.", "subprocess.", "os.exec", "os.posix_spawn", "sqlite3.")


class Audit:
    """Record what Python itself reports of a piece of code: files, sockets, processes."""

    def __init__(self):
        self.events = []
        self.is_on = False
        sys.addaudithook(self._hear)

    def _hear(self, event, arguments):
        if self.is_on and (event == "open" or event.startswith(FORBIDDEN)):
            self.events.append((event, str(arguments[0])))

    def __enter__(self):
        self.is_on = True
        return self

    def __exit__(self, *_):
        self.is_on = False


def test_every_registered_subdirectory_is_a_dag(parsing, tenant, renamed):
    bag = parsing(tenant, renamed(tenant="tenant2"))
    assert not bag.import_errors
    assert sorted(bag.dags) == [
        "tenant1.blackbox",
        "tenant1.taxi",
        "tenant2.blackbox",
        "tenant2.taxi",
    ]


def test_a_dag_names_its_tenant_plan_and_formats(parsing, tenant):
    bag = parsing(tenant)
    assert bag.dags["tenant1.taxi"].tags == {"batch", "tenant:tenant1", "plan:premium", "CSV"}
    assert bag.dags["tenant1.blackbox"].tags >= {"CSV", "JSON"}
    assert bag.dags["tenant1.taxi"].owner == "tenant1"


def test_only_the_tenants_role_sees_its_dag(parsing, tenant):
    granted = parsing(tenant).dags["tenant1.taxi"].access_control
    assert granted == {
        "tenant_tenant1": {
            "DAGs": {"can_read", "can_edit"},
            "DAG Runs": {"can_create", "can_read"},
        }
    }


def test_files_are_ingested_in_the_tenants_pool_by_the_weight_of_its_plan(parsing, tenant):
    tasks = parsing(tenant).dags["tenant1.taxi"].task_dict
    assert list(tasks) == ["files_ready", "admit", "ingest", "settle"]
    assert (tasks["ingest"].pool, tasks["ingest"].pool_slots) == ("tenant1", 1)
    assert {name: tasks[name].pool for name in ("files_ready", "admit", "settle")} == dict.fromkeys(
        ("files_ready", "admit", "settle"), "default_pool"
    )
    serialised = DagSerialization.to_dict(parsing(tenant).dags["tenant1.taxi"])["dag"]
    for entry in serialised["tasks"]:
        values = entry["__var"] | entry["__var"].get("partial_kwargs", {})
        assert (values["priority_weight"], values["weight_rule"]) == (100, "absolute")
        assert values["has_retry_policy"]
        assert values["retries"] == 8


def test_a_dag_takes_new_files_while_a_large_one_is_ingested(parsing, tenant):
    assert parsing(tenant).dags["tenant1.taxi"].max_active_runs == 16


def test_settling_happens_whatever_became_of_the_files(parsing, tenant):
    settle = parsing(tenant).dags["tenant1.taxi"].task_dict["settle"]
    assert settle.is_teardown
    assert settle.on_failure_fail_dagrun


def test_all_inboxes_share_one_scan(parsing, tenant, renamed):
    bag = parsing(tenant, renamed(tenant="tenant2"))
    triggers = [
        watcher.trigger
        for dag in bag.dags.values()
        for asset in dag.timetable.asset_condition.objects
        for watcher in asset.watchers
    ]
    assert len(triggers) == 4
    assert len({trigger.shared_stream_key() for trigger in triggers}) == 1


def test_an_invalid_tenant_keeps_its_dags_without_a_schedule_and_sees_why(parsing, renamed):
    dag = parsing(renamed(problems=(PROBLEM,))).dags["tenant1.taxi"]
    assert dag.schedule is None
    assert "stopped" in dag.tags
    first_lines = dag.doc_md[: dag.doc_md.index("# tenant1: taxi")]
    for figure in (PROBLEM.file, PROBLEM.key, PROBLEM.expected, PROBLEM.found):
        assert figure in first_lines


def test_a_tenant_that_never_was_live_gets_one_dag_that_fails_with_the_reasons(parsing, renamed):
    bag = parsing(renamed(agreement=None, registration=None, problems=(PROBLEM,)))
    dag = bag.dags["tenant1.stopped"]
    assert list(bag.dags) == ["tenant1.stopped"]
    assert PROBLEM.found in dag.doc_md
    with pytest.raises(Exception, match="max_memory: expected a size such as 350MB, found 'lots'"):
        dag.task_dict["why_stopped"].python_callable()


def test_what_a_tenant_wrote_is_never_rendered_as_a_template(parsing, renamed):
    sly = Problem(file="constraints/t.yaml", key="plan", expected="x", found="{{ conn.secret }}")
    bag = parsing(renamed(agreement=None, registration=None, problems=(sly,)))
    task = bag.dags["tenant1.stopped"].task_dict["why_stopped"]
    assert "conn.secret" not in str([getattr(task, field) for field in task.template_fields])


def test_a_tenant_that_cannot_be_built_leaves_the_others_whole(parsing, tenant, renamed):
    # Airflow takes no tag of that length; such a name never passes the registrar.
    endless = "x" * 99
    bag = parsing(renamed(tenant=endless), tenant, renamed(tenant="zeta"))
    assert not bag.import_errors
    assert {"tenant1.taxi", "zeta.taxi", f"{endless}.taxi"} <= set(bag.dags)
    assert "tag cannot be longer" in bag.dags[f"{endless}.taxi"].doc_md
    assert "files_ready" in bag.dags["zeta.taxi"].task_dict


@pytest.mark.parametrize("name", ["Not A Name", "../up", "ü" * 300, "\udc80"])
def test_a_folder_with_an_impossible_name_breaks_nothing(parsing, tenant, renamed, name):
    wrong = Problem(file=f"constraints/{name}.yaml", key="", expected="a name", found=repr(name))
    bag = parsing(renamed(tenant=name, agreement=None, problems=(wrong,)), tenant)
    assert not bag.import_errors
    assert len(bag.dags) == 3
    for dag in bag.dags.values():
        json.dumps(DagSerialization.to_dict(dag), ensure_ascii=False).encode()


def test_before_the_first_publication_there_is_no_dag_and_no_error(parsing):
    bag = parsing()
    parsing.places.registry.unlink()
    assert (bag.dags, bag.import_errors) == ({}, {})


def test_a_task_process_builds_only_its_own_dag(parsing, tenant, renamed, monkeypatch):
    monkeypatch.setenv("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "tenant2.taxi")
    assert list(parsing(tenant, renamed(tenant="tenant2")).dags) == ["tenant2.taxi"]


def test_parsing_reads_the_registry_and_nothing_else(parsing, tenant):
    parsing(tenant)  # imports what there is to import
    with Audit() as audit:
        bag = parsing(tenant)
    assert bag.dags
    assert not [event for event in audit.events if event[0] != "open"]
    code = (".py", ".pyc", ".airflowignore", "/dev/null")
    read = {name for _, name in audit.events if not name.endswith(code)}
    assert read == {str(parsing.places.registry)}


def test_parsing_never_imports_tenant_code(parsing, tenant, tmp_path):
    folder = tmp_path / "tenant_pipelines" / "tenant1"
    folder.mkdir(parents=True)
    trap = "import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()\n"
    for name in ("taxi.py", "black_box.py", "__init__.py"):
        (folder / name).write_text(trap)
    assert len(parsing(tenant).dags) == 2
    assert not list(folder.glob("*.ran"))


def test_a_hundred_tenants_are_parsed_in_time(parsing, renamed, record_property):
    tenants = [renamed(tenant=f"tenant{number:03}") for number in range(100)]
    parsing(*tenants)
    started = time.monotonic()
    bag = parsing(*tenants)
    seconds = time.monotonic() - started
    record_property("parse_seconds_100_tenants", round(seconds, 2))
    assert len(bag.dags) == 200
    assert seconds < GENEROUS_SECONDS


def test_parsing_again_makes_no_new_dag_version(parsing, tenant, renamed):
    parsing(tenant, renamed(tenant="tenant2", problems=(PROBLEM,)))
    assert _versions(hash_seed="1") == _versions(hash_seed="2")


VERSIONS = """
import os
from airflow.dag_processing.dagbag import DagBag
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(dag_folder=os.environ["AIRFLOW__CORE__DAGS_FOLDER"] + "/batch_ingestion.py")
for dag_id, dag in bag.dags.items():
    print("VERSION", dag_id, SerializedDagModel.hash(DagSerialization.to_dict(dag)))
"""


def _versions(hash_seed):
    """Parse in a process of its own; return the hash by which Airflow tells DAG versions apart."""
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", VERSIONS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    versions = {line for line in done.stdout.splitlines() if line.startswith("VERSION")}
    assert len(versions) == 4
    return versions
