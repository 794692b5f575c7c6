import json
import stat
import threading

import pytest
import typer.testing

from mysimbdp import errors, registry
from mysimbdp.agreements.model import FileType
from mysimbdp.cli import tenant as command
from mysimbdp.registrar import loop, overview, skeleton, staging
from mysimbdp.settings import from_environment


@pytest.fixture
def settings(tmp_path, monkeypatch):
    for folder in ("constraints", "tenant_pipelines"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("MYSIMBDP_HOME", str(tmp_path))
    monkeypatch.delenv("MYSIMBDP_STATE", raising=False)
    return from_environment()


@pytest.fixture
def run(settings):
    def invoke(*arguments, answer=None):
        return typer.testing.CliRunner().invoke(command.app, arguments, input=answer)

    return invoke


@pytest.mark.parametrize("kinds", [[FileType.CSV], [FileType.XML], [*FileType]])
def test_the_first_files_of_a_tenant_are_valid_as_they_are(settings, kinds):
    skeleton.add(settings.home, "acme", kinds, "ops@acme.example")

    (tenant,) = registry.load_tree(settings.home)
    assert tenant.problems == ()
    assert list(tenant.agreement.data_constraints.file_types) == kinds
    assert tenant.agreement.contacts == ("ops@acme.example",)


@pytest.mark.parametrize("name", ["Acme", "../acme", "admin", "a", "acme.yaml"])
def test_a_bad_name_is_refused_and_nothing_is_written(settings, name):
    with pytest.raises(errors.UsageError, match="cannot be a tenant's name"):
        skeleton.add(settings.home, name, [FileType.CSV], "ops@acme.example")

    assert list(settings.constraints.iterdir()) == []


def test_a_contact_that_is_no_address_is_refused_and_nothing_is_written(settings):
    with pytest.raises(errors.UsageError, match=r"contacts.*e-mail address"):
        skeleton.add(settings.home, "acme", [FileType.CSV], "nobody\nplan: premium")

    assert list(settings.constraints.iterdir()) == []


def test_an_existing_tenant_is_not_overwritten(settings):
    skeleton.add(settings.home, "acme", [FileType.CSV], "ops@acme.example")

    with pytest.raises(errors.UsageError, match=r"acme exists already: constraints/acme\.yaml"):
        skeleton.add(settings.home, "acme", [FileType.CSV], "ops@acme.example")


def test_the_list_tells_how_each_tenant_stands(settings):
    for name in ("alive", "broken", "coming", "gone"):
        skeleton.add(settings.home, name, [FileType.CSV], "ops@acme.example")
    registry.publish(settings.registry, registry.load_tree(settings.home)[:2])
    (settings.constraints / "broken.yaml").write_text("plan: x\n")
    (settings.constraints / "gone.yaml").unlink()
    (settings.staging / "former").mkdir(parents=True)

    found = {one.tenant: one for one in overview.survey(settings)}

    assert {name: one.state for name, one in found.items()} == {
        "alive": "live",
        "broken": "stopped",
        "coming": "registering",
        "former": "withdrawn",
        "gone": "withdrawn",
    }
    assert found["alive"].slots == 2
    assert found["alive"].limits["max_file_size"] == "350MB"
    assert "constraints/broken.yaml" in found["broken"].problems[0]


def test_the_list_is_also_plain_json(settings, run):
    skeleton.add(settings.home, "acme", [FileType.CSV], "ops@acme.example")

    (row,) = json.loads(run("list", "--json").stdout)

    assert (row["tenant"], row["state"], row["subdirectories"]) == (
        "acme",
        "registering",
        ["example"],
    )


def test_the_list_tells_of_streams_topics_and_what_was_agreed_on_them(settings, run):
    skeleton.add(settings.home, "acme", [FileType.CSV], "ops@acme.example")
    with (settings.constraints / "acme.yaml").open("a") as agreement:
        agreement.write("streams: {max_publish_rate: 5MB/s, max_consume_rate: 7MB/s}\n")
    with (settings.tenant_pipelines / "acme" / "pipelines.yaml").open("a") as registration:
        registration.write("topics: {weather: {}, unread: {}}\n")
        app = "{topics: [weather], callable: 'example:ingest', collections: {c: {}}}"
        registration.write(f"streams: {{sensors: {app}}}\n")

    (row,) = json.loads(run("list", "--json").stdout)

    assert (row["streams"], row["topics"]) == (["sensors"], ["unread", "weather"])
    assert row["limits"]["max_consume_rate"] == "7MB/s"
    assert "sensors" in run("list").stdout
    assert "sends 5MB/s, reads 7MB/s" in run("list").stdout


def test_the_first_problem_of_a_stopped_tenant_is_in_the_list(settings, run):
    (settings.constraints / "acme.yaml").write_text("plan: x\n")

    assert "stopped: constraints/acme.yaml" in run("list").stdout


def test_removing_a_tenant_asks_first(settings, run):
    skeleton.add(settings.home, "acme", [FileType.CSV], "ops@acme.example")

    assert run("remove", "acme", answer="n\n").exit_code == 1
    assert (settings.constraints / "acme.yaml").exists()
    assert run("remove", "acme", answer="y\n").exit_code == 0
    assert not (settings.constraints / "acme.yaml").exists()
    assert (settings.tenant_pipelines / "acme" / "example.py").exists()


def test_deleting_data_wants_the_name_typed(settings, run):
    skeleton.add(settings.home, "acme", [FileType.CSV], "ops@acme.example")

    result = run("remove", "acme", "--purge", answer="yes\n")

    assert isinstance(result.exception, errors.UsageError)
    assert "Nothing was changed" in str(result.exception)
    assert (settings.constraints / "acme.yaml").exists()


def test_an_unknown_tenant_cannot_be_removed(settings, run):
    for name in ("acme", "../pyproject"):
        assert isinstance(run("remove", name, "--yes").exception, errors.UsageError)


def test_staging_folders_are_closed_to_others_and_made_once(tmp_path):
    made = staging.ensure(tmp_path / "staging", "acme", ["taxi"])

    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "staging" / "acme").iterdir()
    }
    assert modes == {"claimed": 0o750, "loaded": 0o750, "rejected": 0o750, "taxi": 0o770}
    assert len(made) == 5
    assert staging.ensure(tmp_path / "staging", "acme", ["taxi"]) == []


def test_a_staging_folder_that_cannot_be_made_is_told_in_one_sentence(tmp_path):
    (tmp_path / "acme").write_text("in the way")

    with pytest.raises(errors.StagingError, match="acme cannot be made: File exists"):
        staging.ensure(tmp_path, "acme", ["taxi"])


def test_every_committed_file_counts_as_a_change_and_nothing_else(settings):
    skeleton.add(settings.home, "acme", [FileType.CSV], "ops@acme.example")
    seen = [loop.fingerprint(settings.home)]
    (settings.home / "notes.md").write_text("not a tenant's")
    assert loop.fingerprint(settings.home) == seen[0]

    for path in ("constraints/acme.yaml", "tenant_pipelines/acme/example.py"):
        (settings.home / path).write_text("# changed\n")
        seen.append(loop.fingerprint(settings.home))
    (settings.constraints / "acme.yaml").unlink()
    seen.append(loop.fingerprint(settings.home))

    assert len(set(seen)) == 4


def test_no_error_ends_the_loop_and_a_change_is_taken_up_at_once(settings, monkeypatch):
    monkeypatch.setattr(loop, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(loop, "_SETTLE_SECONDS", 0.01)
    stop, passes = threading.Event(), []
    failures = [errors.ServiceUnavailableError("down"), ValueError("a fault of ours")]

    def reconcile():
        passes.append(sorted(path.name for path in settings.constraints.iterdir()))
        if len(passes) <= len(failures):
            (settings.constraints / f"t{len(passes)}.yaml").write_text("plan: x\n")
            raise failures[len(passes) - 1]
        stop.set()
        return []

    loop.Loop(reconcile, settings.home, stop).run()

    assert passes == [[], ["t1.yaml"], ["t1.yaml", "t2.yaml"]]
