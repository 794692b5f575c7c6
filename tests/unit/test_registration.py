"""Registrations: the committed ones, and every way in which one does not fit."""

import sys
import textwrap
from pathlib import Path

import pydantic
import pytest

from mysimbdp import registry
from mysimbdp.agreements.model import Agreement, FileType
from mysimbdp.pipelines import vetting
from mysimbdp.pipelines.registration import BatchPipeline, ColumnType, Registration

ROOT = Path(__file__).parents[2]
FILE = "tenant_pipelines/acme/pipelines.yaml"
AGREEMENT = Agreement(
    data_constraints={"file_types": ["CSV", "JSON"], "max_file_size": "350MB"},
    service_agreement={
        "max_throughput": "5MB/s",
        "max_concurrent_ingestions": 2,
        "storage_space_staging": "0.5GB",
        "max_memory": "2GB",
    },
    contacts=["ops@acme.example"],
)


@pytest.fixture
def vet(tmp_path):
    """Give a function that reads one pipeline and returns its problems by key."""
    (tmp_path / "taxi.py").write_text("def ingest(batch):\n    return batch\n")
    (tmp_path / "script.py").write_text("print()\n")

    def read(yaml_text, agreement=AGREEMENT):
        text = "batch:\n  taxi:\n" + textwrap.indent(textwrap.dedent(yaml_text), "    ")
        (tmp_path / "pipelines.yaml").write_text(text)
        value, problems = vetting.read(tmp_path / "pipelines.yaml", FILE, agreement)
        assert (value is None) == bool(problems)
        assert {problem.file for problem in problems} <= {FILE}
        return {
            problem.key.removeprefix("batch.taxi."): (problem.expected, problem.found)
            for problem in problems
        }

    return read


def test_the_defaults_suit_a_callable_on_all_that_is_agreed():
    pipeline = BatchPipeline(callable="taxi:ingest", collection="trips")

    assert pipeline.batch == "arrow"
    assert pipeline.missing == ("",)
    assert pipeline.max_reject_ratio == 0
    assert pipeline.resources.cpu == 1
    assert pipeline.accepted_formats(AGREEMENT) == (FileType.CSV, FileType.JSON)
    assert pipeline.memory_bytes(AGREEMENT) == 2 * 2**30


def test_a_pipeline_may_take_less_than_is_agreed():
    pipeline = BatchPipeline(
        callable="taxi:ingest",
        collection="trips",
        formats=["JSON"],
        resources={"memory": "1GB", "timeout": "30m"},
    )

    assert pipeline.accepted_formats(AGREEMENT) == (FileType.JSON,)
    assert pipeline.memory_bytes(AGREEMENT) == 2**30
    assert pipeline.resources.timeout.seconds == 1800


def test_the_committed_registrations_fit_their_agreements_and_code():
    assert [problem for tenant in registry.load_tree(ROOT) for problem in tenant.problems] == []


def test_the_sample_keeps_what_a_guess_would_spoil():
    path = ROOT / "tenant_pipelines" / "tenant1" / "pipelines.yaml"
    value, _ = vetting.read(path, "pipelines.yaml", None)
    columns = value.batch["taxi"].columns

    assert columns["vendor_id"] is ColumnType.STRING
    assert columns["note"] is ColumnType.STRING
    assert columns["trip_id"] is ColumnType.INT64


def test_a_good_registration_has_no_problem(vet):
    assert vet("{callable: taxi:ingest, collection: trips}") == {}


def test_a_registration_survives_json_unchanged():
    registration = Registration(
        batch={
            "taxi": {
                "callable": "taxi:ingest",
                "collection": "trips",
                "columns": {"id": "int64"},
                "resources": {"memory": "1GB", "timeout": "2h"},
            }
        }
    )

    assert Registration.model_validate_json(registration.model_dump_json()) == registration


def test_every_problem_of_a_pipeline_is_told_at_once(vet):
    problems = vet(
        """
        callable: texi:ingest
        collection: rejects
        batch: polars
        formats: [CSV, XML, PDF]
        columns: {vendor_id: text, _id: string}
        missing: NA
        max_reject_ratio: 5
        colour: red
        resources: {cpu: 0, memory: 4GB, timeout: 2 hours}
        """
    )

    assert problems.keys() == {
        "callable",
        "collection",
        "batch",
        "formats[2]",
        "columns.vendor_id",
        "columns._id",
        "missing",
        "max_reject_ratio",
        "colour",
        "resources.cpu",
        "resources.timeout",
    }
    assert problems["callable"][1] == "no file texi.py in the tenant's folder"
    assert problems["missing"] == ("a list", "'NA'")
    assert problems["max_reject_ratio"] == ("at most 1", "5")
    assert problems["columns.vendor_id"][0].startswith("one of string, int64")


@pytest.mark.parametrize(
    ("entry", "found"),
    [("{collection: trips}", "neither"), ("{callable: a:b, script: c.py, collection: t}", "both")],
)
def test_a_pipeline_has_exactly_one_of_callable_and_script(vet, entry, found):
    problems = vet(entry)

    assert problems["batch.taxi"] == ("exactly one of callable and script", found)


def test_a_pipeline_made_in_code_obeys_that_too():
    with pytest.raises(pydantic.ValidationError, match="exactly one of callable and script"):
        BatchPipeline(collection="trips")


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def load(b): ...\ndef _x(): ...\n", "no function ingest in code.py, only load"),
        ("x = 1\n", "no function ingest in code.py"),
        ("class A:\n    def ingest(self): ...\n", "no function ingest in code.py"),
        ("async def ingest(b): ...\n", "an async function ingest in code.py"),
        ("def ingest(b:\n", "code.py with a syntax error in line 1"),
        ("\0", "code.py"),
        ("(" * 5_000, "code.py"),
    ],
)
def test_the_function_of_a_callable_has_to_be_there(vet, tmp_path, source, found):
    (tmp_path / "code_file.py").write_text(source)
    problems = vet("{callable: code_file:ingest, collection: trips}")

    assert problems["callable"][0] == "the function code_file:ingest"
    assert problems["callable"][1].startswith(found.replace("code.py", "code_file.py"))


def test_a_module_may_lie_in_a_folder_of_the_tenant(vet, tmp_path):
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds" / "taxi.py").write_text("def ingest(batch): ...\n")

    assert vet("{callable: feeds.taxi:ingest, collection: trips}") == {}


def test_tenant_code_is_read_but_never_run(vet, tmp_path):
    (tmp_path / "loud.py").write_text("raise SystemExit\ndef ingest(batch): ...\n")

    assert vet("{callable: loud:ingest, collection: trips}") == {}
    assert "loud" not in sys.modules


def test_a_module_must_not_have_the_name_of_one_of_python(vet, tmp_path):
    (tmp_path / "json.py").write_text("def ingest(batch): ...\n")
    problems = vet("{callable: json:ingest, collection: trips}")

    assert problems["callable"][1] == "json, which is a module of Python itself"


@pytest.mark.parametrize("name", ["../other/x.py", "/etc/x.py", "x.sh", "a/../../x.py"])
def test_a_script_is_named_within_the_tenants_folder(vet, name):
    problems = vet(f"{{script: {name}, collection: trips}}")

    assert problems["script"][0] == "a file in the tenant's folder, such as taxi_script.py"


def test_a_script_that_is_not_there_is_a_problem(vet):
    problems = vet("{script: gone.py, collection: trips}")

    assert problems["script"][1] == "no file gone.py in the tenant's folder"


@pytest.mark.parametrize(
    ("entry", "key"),
    [("script: link.py", "script"), ("callable: link:ingest", "callable")],
)
def test_code_must_not_be_a_link_to_elsewhere(vet, tmp_path, tmp_path_factory, entry, key):
    elsewhere = tmp_path_factory.mktemp("other") / "x.py"
    elsewhere.write_text("def ingest(batch): ...\n")
    (tmp_path / "link.py").symlink_to(elsewhere)

    assert vet(f"{{{entry}, collection: trips}}")[key][1] == (
        "link.py that leads out of the tenant's folder"
    )


def test_what_only_a_callable_can_use_is_refused_beside_a_script(vet):
    problems = vet("{script: script.py, collection: trips, batch: pandas, columns: {a: string}}")

    assert problems.keys() == {"batch", "columns"}


def test_a_format_outside_the_agreement_is_a_problem(vet):
    assert vet("{callable: taxi:ingest, collection: trips, formats: [CSV, XML]}") == {
        "formats[1]": ("one that the agreement allows (CSV, JSON)", "XML")
    }


def test_more_memory_than_agreed_is_a_problem(vet):
    assert vet("{callable: taxi:ingest, collection: trips, resources: {memory: 2.5GB}}") == {
        "resources.memory": ("at most the agreement's max_memory of 2GB", "2.5GB")
    }


def test_a_row_element_makes_sense_with_xml_only(vet):
    assert vet("{callable: taxi:ingest, collection: trips, xml_row: trip}") == {
        "xml_row": ("nothing where XML is not accepted", "'trip' with CSV, JSON")
    }


def test_without_an_agreement_the_rest_is_still_checked(vet):
    entry = "{callable: gone:ingest, collection: trips, formats: [XML]}"

    assert vet(entry, agreement=None).keys() == {"callable"}


@pytest.mark.parametrize("name", ["claimed", "Taxi", "a b", "..", ""])
def test_a_subdirectory_has_a_name_that_can_be_a_folder_and_a_dag(tmp_path, name):
    (tmp_path / "taxi.py").write_text("def ingest(batch): ...\n")
    (tmp_path / "pipelines.yaml").write_text(
        f"batch:\n  '{name}': {{callable: taxi:ingest, collection: trips}}\n"
    )
    value, problems = vetting.read(tmp_path / "pipelines.yaml", FILE, AGREEMENT)

    assert value is None
    assert [problem.expected for problem in problems] == [
        "a subdirectory name of small letters, digits, - and _, not a reserved one"
    ]
