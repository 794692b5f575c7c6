"""The agreement's model and the JSON Schema made from it."""

from pathlib import Path

import jsonschema
import pydantic
import pytest
import yaml

from mysimbdp.agreements import schema
from mysimbdp.agreements.model import Agreement, FileType

ROOT = Path(__file__).parents[2]
MEGABYTE = 2**20
GIGABYTE = 2**30


def committed(tenant):
    data = yaml.safe_load((ROOT / "constraints" / f"{tenant}.yaml").read_text())
    return Agreement.model_validate(data)


def test_tenant1_has_the_figures_that_were_agreed_on():
    agreement = committed("tenant1")
    service = agreement.service_agreement

    assert agreement.data_constraints.file_types == (FileType.CSV,)
    assert agreement.data_constraints.max_file_size.bytes == 500 * GIGABYTE
    assert service.max_throughput.bytes_per_second == 100 * MEGABYTE
    assert service.max_concurrent_ingestions == 16
    assert service.storage_space_staging.bytes == 900 * GIGABYTE
    assert service.max_memory.bytes == 16 * GIGABYTE


def test_tenant2_has_the_figures_that_were_agreed_on():
    agreement = committed("tenant2")
    service = agreement.service_agreement

    assert agreement.data_constraints.file_types == (FileType.CSV, FileType.JSON, FileType.XML)
    assert agreement.data_constraints.max_file_size.bytes == 350 * MEGABYTE
    assert service.max_throughput.bytes_per_second == 5 * MEGABYTE
    assert service.max_concurrent_ingestions == 2
    assert service.storage_space_staging.bytes == 512 * MEGABYTE
    assert service.max_memory.bytes == 2 * GIGABYTE


def test_files_wait_above_the_concurrency_limit_unless_agreed_otherwise():
    assert committed("tenant1").service_agreement.on_concurrency_limit == "queue"


def test_a_higher_plan_has_the_higher_priority():
    agreement = committed("tenant1")
    plans = ("basic", "standard", "premium")
    priorities = [agreement.model_copy(update={"plan": plan}).priority for plan in plans]

    assert priorities == [1, 10, 100]


def test_an_agreement_cannot_be_changed_in_memory():
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        committed("tenant1").plan = "basic"


def test_an_agreement_survives_json_unchanged():
    agreement = committed("tenant2")

    assert Agreement.model_validate_json(agreement.model_dump_json()) == agreement


def test_the_committed_schema_is_that_of_the_model():
    """`mysimbdp check --write-schema` rewrites it."""
    committed_text = (ROOT / schema.AGREEMENT_SCHEMA).read_text()

    assert committed_text == schema.agreement_schema_text()


def test_the_schema_is_valid_and_accepts_its_own_example():
    generated = schema.agreement_schema()
    jsonschema.Draft202012Validator.check_schema(generated)
    (example,) = generated["examples"]

    assert list(jsonschema.Draft202012Validator(generated).iter_errors(example)) == []
    assert Agreement.model_validate(example).plan == "basic"


def test_the_schema_tells_an_editor_what_a_size_looks_like():
    constraints = schema.agreement_schema()["$defs"]["DataConstraints"]["properties"]
    size = constraints["max_file_size"]

    assert size["pattern"].endswith("(B|KB|MB|GB|TB)$")
    assert size["examples"] == ["350MB", "0.5GB"]
    assert size["description"]
