import errno
import os
import signal

import pytest
import typer
from typer.testing import CliRunner

from mysimbdp import errors, registry
from mysimbdp.agreements import model
from mysimbdp.cli import stage
from mysimbdp.pipelines import registration
from mysimbdp.staging import area, delivery

SILENT = [].append


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "var" / "staging" / "tenant2" / "taxi"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def make_file(tmp_path):
    def make(name, content=b"a,b\n1,2\n"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    return make


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_arrives_whole_and_every_byte_is_counted(inbox, make_file):
    content = os.urandom(40 * 2**20)
    counts = []
    target = delivery.deliver(make_file("big.csv", content), inbox, counts.append)
    assert target.read_bytes() == content
    assert sum(counts) == len(content)
    assert len(counts) > 1
    assert names(inbox) == ["big.csv"]


def test_an_empty_file_arrives_too(inbox, make_file):
    assert delivery.deliver(make_file("empty.csv", b""), inbox, SILENT).read_bytes() == b""


def test_a_file_that_waits_is_never_replaced(inbox, make_file):
    (inbox / "taxi.csv").write_bytes(b"first")
    with pytest.raises(errors.UsageError, match=r"taxi\.csv waits in the inbox already"):
        delivery.deliver(make_file("taxi.csv", b"second"), inbox, SILENT)
    assert (inbox / "taxi.csv").read_bytes() == b"first"
    assert names(inbox) == ["taxi.csv"]


def test_while_it_is_copied_the_inbox_shows_nothing(inbox, make_file):
    listed = []
    delivery.deliver(
        make_file("taxi.csv"),
        inbox,
        lambda _: listed.append((area.Area(*_place(inbox)).ready(), names(inbox))),
    )
    ((ready, hidden),) = listed
    assert ready == []
    assert all(name.startswith(".") and name.endswith(".part") for name in hidden)


def _place(inbox):
    return inbox.parent.parent, "tenant2", "taxi"


def test_an_interrupted_copy_leaves_nothing_behind(inbox, make_file):
    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        delivery.deliver(make_file("taxi.csv"), inbox, interrupt)
    assert names(inbox) == []


def test_a_file_that_changes_under_the_copy_is_refused(inbox, make_file):
    source = make_file("taxi.csv", b"x" * 100)

    def append(_):
        with source.open("ab") as file:
            file.write(b"more")

    with pytest.raises(errors.UsageError, match="changed while it was copied"):
        delivery.deliver(source, inbox, append)
    assert names(inbox) == []


def test_between_file_systems_the_copy_is_the_same(inbox, make_file, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    content = os.urandom(20 * 2**20)
    counts = []
    target = delivery.deliver(make_file("big.csv", content), inbox, counts.append)
    assert target.read_bytes() == content
    assert sum(counts) == len(content)


def test_a_missing_inbox_is_one_sentence(tmp_path, make_file):
    with pytest.raises(errors.StagingError, match=r"could not be staged in .*: No such file"):
        delivery.deliver(make_file("taxi.csv"), tmp_path / "absent", SILENT)


@pytest.fixture
def run(inbox, tmp_path, monkeypatch):
    """Run the command in a tree where tenant2 has registered taxi."""
    for name in ("constraints", "tenant_pipelines"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("MYSIMBDP_HOME", str(tmp_path))
    monkeypatch.delenv("MYSIMBDP_STATE", raising=False)
    registry.publish(tmp_path / "var" / "registry.json", [tenant2()])
    app = typer.Typer()
    app.callback()(lambda: None)
    stage.register(app)

    def command(*words):
        return CliRunner().invoke(app, ["stage", *map(str, words)])

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield command
    for number, handler in handlers.items():
        signal.signal(number, handler)


def tenant2(problems=()):
    return registry.RegisteredTenant(
        tenant="tenant2",
        agreement=model.Agreement.model_validate(
            {
                "data_constraints": {"file_types": ["CSV"], "max_file_size": "350MB"},
                "service_agreement": {
                    "max_throughput": "5MB/s",
                    "max_concurrent_ingestions": 2,
                    "storage_space_staging": "0.5GB",
                    "max_memory": "2GB",
                },
                "contacts": ["data@tenant2.example"],
            }
        ),
        registration=registration.Registration.model_validate(
            {"batch": {"taxi": {"callable": "taxi:ingest", "collection": "trips"}}}
        ),
        problems=problems,
    )


def test_several_files_land_and_the_command_says_where_and_how_to_follow(run, inbox, make_file):
    result = run("tenant2", "taxi", make_file("a.csv"), make_file("b.csv"))
    assert result.exit_code == 0
    assert names(inbox) == ["a.csv", "b.csv"]
    assert f"Staged {inbox / 'a.csv'}" in result.output
    assert "mysimbdp ingestions --tenant tenant2" in result.output


def test_every_problem_has_its_line_and_nothing_is_copied(run, inbox, make_file, tmp_path):
    (inbox / "waits.csv").write_bytes(b"")
    result = run(
        "tenant2",
        "taxi",
        make_file("fine.csv"),
        make_file("other/fine.csv"),
        tmp_path / "absent.csv",
        tmp_path,
        "..",
        make_file("half.csv.part"),
        make_file(".hidden.csv"),
        make_file("waits.csv"),
    )
    assert result.exit_code == 1
    assert names(inbox) == ["waits.csv"]
    lines = result.output.splitlines()
    for words in (
        "absent.csv cannot be staged: No such file",
        f"{tmp_path} is not a regular file",
        ".. is not a regular file",
        "half.csv.part looks hidden or unfinished",
        ".hidden.csv looks hidden or unfinished",
        "waits.csv waits in the inbox already",
        "fine.csv is given more than once",
    ):
        assert sum(words in line for line in lines) == 1, words
    assert lines[-1] == "mysimbdp: Nothing was staged."


@pytest.mark.parametrize("place", [("tenant9", "taxi"), ("tenant2", "weather")])
def test_an_unregistered_place_takes_no_file(run, make_file, place):
    result = run(*place, make_file("a.csv"))
    assert isinstance(result.exception, errors.TenantUnknownError)
