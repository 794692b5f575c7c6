"""The registry: from the committed tree to what everybody reads."""

import os
import shutil
from pathlib import Path

import attrs
import pytest

from mysimbdp import errors, registry
from mysimbdp.agreements.load import Problem

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path):
    """Give a copy of the committed tree."""
    home = tmp_path / "tree"
    for name in ("constraints", "tenant_pipelines"):
        shutil.copytree(ROOT / name, home / name)
    return home


@pytest.fixture
def published(tree, tmp_path):
    path = tmp_path / "state" / "registry.json"
    registry.publish(path, registry.load_tree(tree))
    return path


def by_name(tenants):
    return {tenant.tenant: tenant for tenant in tenants}


def test_the_committed_tree_has_two_live_tenants(tree):
    tenants = by_name(registry.load_tree(tree))

    assert list(tenants) == ["tenant1", "tenant2"]
    assert not any(tenant.stopped or tenant.withdrawn for tenant in tenants.values())
    assert list(tenants["tenant1"].registration.batch) == ["taxi", "weather"]
    assert list(tenants["tenant2"].registration.batch) == ["taxi", "cars", "stations", "blackbox"]


def test_a_bad_agreement_stops_that_tenant_only(tree):
    path = tree / "constraints" / "tenant2.yaml"
    path.write_text(path.read_text().replace("350MB", "large"))
    tenants = by_name(registry.load_tree(tree))

    assert tenants["tenant2"].stopped
    assert tenants["tenant2"].agreement is None
    assert tenants["tenant2"].problems[0].key == "data_constraints.max_file_size"
    assert not tenants["tenant1"].stopped


def test_the_problems_of_both_files_of_a_tenant_are_told_together(tree):
    (tree / "constraints" / "tenant1.yaml").write_text("plan: gold\n")
    (tree / "tenant_pipelines" / "tenant1" / "taxi.py").unlink()
    tenant = by_name(registry.load_tree(tree))["tenant1"]

    assert {problem.file for problem in tenant.problems} == {
        "constraints/tenant1.yaml",
        "tenant_pipelines/tenant1/pipelines.yaml",
    }


def test_a_folder_without_an_agreement_is_a_withdrawn_tenant(tree):
    (tree / "constraints" / "tenant1.yaml").unlink()
    tenant = by_name(registry.load_tree(tree))["tenant1"]

    assert tenant.withdrawn
    assert tenant.stopped
    (problem,) = tenant.problems
    assert problem.file == "constraints/tenant1.yaml"
    assert "add the file" in problem.expected


def test_an_agreement_without_pipelines_says_what_to_add(tree):
    shutil.rmtree(tree / "tenant_pipelines" / "tenant1")
    tenant = by_name(registry.load_tree(tree))["tenant1"]

    assert tenant.stopped
    assert not tenant.withdrawn
    assert tenant.problems[0].file == "tenant_pipelines/tenant1/pipelines.yaml"


@pytest.mark.parametrize("name", ["admin", "mysimbdp", "Tenant", "a", "ten ant"])
def test_a_name_that_cannot_be_a_tenant_is_a_problem(tree, name):
    shutil.copy(tree / "constraints" / "tenant1.yaml", tree / "constraints" / f"{name}.yaml")
    tenant = by_name(registry.load_tree(tree))[name]

    assert tenant.problems[0].expected.startswith("a tenant name")


def test_only_agreements_and_folders_make_tenants(tree):
    (tree / "tenant_pipelines" / "__pycache__").mkdir()
    (tree / "tenant_pipelines" / ".cache").mkdir()
    (tree / "constraints" / ".#tenant1.yaml").touch()

    assert list(by_name(registry.load_tree(tree))) == ["tenant1", "tenant2"]


def test_an_empty_tree_has_no_tenants(tmp_path):
    assert registry.load_tree(tmp_path) == ()


def test_what_is_published_is_read_back_unchanged(tree, published):
    assert registry.read(published) == registry.load_tree(tree)


def test_a_stopped_tenant_is_published_with_its_last_good_files_and_its_problems(tree, published):
    problem = Problem(file="constraints/tenant1.yaml", key="plan", expected="a", found="b")
    stopped = attrs.evolve(registry.read(published)[0], problems=(problem,))
    registry.publish(published, [stopped])
    (read,) = registry.read(published)

    assert read == stopped
    assert read.agreement is not None
    assert read.stopped


def test_before_the_first_publication_there_are_no_tenants(tmp_path):
    assert registry.read(tmp_path / "registry.json") == ()


def test_publishing_the_same_again_changes_nothing(tree, published):
    os.utime(published, (1, 1))
    registry.publish(published, registry.load_tree(tree))

    assert published.stat().st_mtime == 1


def test_publishing_leaves_no_draft_behind(tree, published):
    registry.publish(published, [])

    assert list(published.parent.iterdir()) == [published]
    assert registry.read(published) == ()


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"tenants": []}'],
)
def test_a_registry_that_nobody_published_is_refused_with_what_to_do(published, content):
    published.write_text(content)

    with pytest.raises(errors.ConfigurationError, match="Remove it"):
        registry.read(published)


@pytest.mark.parametrize("entry", ["1", "{}", '{"agreement": {}, "registration": {}}'])
def test_an_entry_that_cannot_be_read_stops_its_tenant_only(published, entry):
    content = published.read_text().replace('"tenants": {', f'"tenants": {{"odd": {entry},', 1)
    published.write_text(content)

    stopped = {tenant.tenant: tenant.stopped for tenant in registry.read(published)}

    assert stopped == {"odd": True, "tenant1": False, "tenant2": False}


def test_a_live_pipeline_is_found(published):
    tenant, pipeline = registry.find(published, "tenant2", "stations")

    assert tenant.tenant == "tenant2"
    assert pipeline.xml_row == "station"


@pytest.mark.parametrize(
    ("tenant", "subdirectory", "hint"),
    [("nobody", "taxi", "constraints/nobody.yaml"), ("tenant1", "cars", "only taxi, weather")],
)
def test_an_unknown_tenant_or_subdirectory_is_told_with_what_to_do(
    published, tenant, subdirectory, hint
):
    with pytest.raises(errors.TenantUnknownError, match=hint):
        registry.find(published, tenant, subdirectory)


def test_a_stopped_tenant_is_refused_with_its_problems_on_one_line(tree, published):
    (tree / "constraints" / "tenant1.yaml").write_text("plan: gold\n")
    registry.publish(published, registry.load_tree(tree))

    with pytest.raises(errors.TenantStoppedError) as caught:
        registry.find(published, "tenant1", "taxi")
    assert "plan: expected one of basic, standard, premium, found 'gold'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert registry.find(published, "tenant2", "taxi")
