import http.client
import json
import os
import shlex
import signal
import smtplib
import socket
import stat
import subprocess

import psutil
import pymongo
import pytest
from pymongo import errors as mongo_errors

from mysimbdp.local_stack import kafka_probe

PARTS = [
    *("mongod", "kafka", "mailbox"),
    *("api-server", "scheduler", "dag-processor", "triggerer", "registrar"),
]


def only_line(done):
    """Return the one line that a refused command prints."""
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stdout
    return line


def ask_airflow(stack, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", stack.settings.airflow_port, timeout=30)
    headers = {"Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


@pytest.fixture
def fake_mongod(tmp_path):
    """Give a function that writes a mongod of its own; `path` is a PATH that finds it first."""

    def write(script):
        (tmp_path / "mongod").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "mongod").chmod(0o755)

    write.path = f"{tmp_path}:{os.environ['PATH']}"
    return write


def test_status_names_every_part_with_its_pid_and_start(stack):
    stack.await_all_running()
    done = stack.run("status", "--json")

    parts = json.loads(done.stdout)
    assert done.returncode == 0
    assert [part["name"] for part in parts] == PARTS
    assert {part["state"] for part in parts} == {"running"}
    assert all(psutil.pid_exists(part["pid"]) and part["since"] for part in parts)
    assert parts[0]["address"] == f"127.0.0.1:{stack.settings.mongo_port}"
    assert parts[1]["address"] == f"127.0.0.1:{stack.settings.kafka_port}"


def test_starting_twice_is_harmless(stack):
    before = stack.await_all_running()

    output = stack.up()

    assert "already running" in output
    assert stack.parts() == before


def test_both_administrators_log_in_to_airflow_and_nobody_else(stack):
    for login in ("admin", "registrar"):
        password = stack.secrets.read(f"airflow/{login}")
        body = {"username": login, "password": password}
        status, answer = ask_airflow(stack, "POST", "/auth/token", body)
        assert (status, "access_token" in answer) == (201, True)

    body = {"username": "admin", "password": "admin"}
    assert ask_airflow(stack, "POST", "/auth/token", body)[0] == 401
    assert ask_airflow(stack, "GET", "/api/v2/dags")[0] == 401


def test_the_providers_address_opens_coredms(stack):
    url = stack.run("coredms-url").stdout.strip()

    with pymongo.MongoClient(url) as client:
        assert client.admin.command("ping")["ok"] == 1
    with (
        pymongo.MongoClient("127.0.0.1", stack.settings.mongo_port) as client,
        pytest.raises(mongo_errors.OperationFailure),
    ):
        client.mysimbdp.ingestions.find_one()


def test_the_address_for_an_unknown_tenant_is_refused_in_one_line(stack):
    assert "no login for the tenant nobody" in only_line(
        stack.run("coredms-url", "--tenant", "nobody")
    )


def test_the_providers_login_opens_kafka_and_nobody_else_gets_in(stack):
    lines = stack.run("kafka-login").stdout.splitlines()
    login = dict(line.split("=", 1) for line in lines)

    assert kafka_probe.answers(login)
    assert not kafka_probe.answers({"bootstrap.servers": login["bootstrap.servers"]})


def test_a_mail_ends_in_the_local_mailbox(stack):
    with smtplib.SMTP("127.0.0.1", stack.settings.smtp_port) as server:
        server.sendmail("a@localhost", ["b@localhost"], "Subject: test of the mailbox\n\nHello")

    mails = [mail.read_text() for mail in (stack.state / "mail" / "new").iterdir()]
    assert any("Subject: test of the mailbox" in mail for mail in mails)


def test_secrets_are_for_their_owner_only_and_on_no_command_line(stack):
    files = [path for path in (stack.state / "secrets").rglob("*") if path.is_file()]
    private = [
        *files,
        stack.state / "run" / "supervisord.conf",
        *(stack.state / "kafka").glob("*.properties"),
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}

    values = [path.read_text().strip() for path in files]
    lines = [
        shlex.join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    ]
    configuration = (stack.state / "run" / "supervisord.conf").read_text()
    assert len(values) > 5
    assert not [value for value in values if any(value in line for line in lines)]
    assert not [value for value in values if value in configuration]


@pytest.mark.parametrize("name", ["scheduler", "mongod", "kafka", "triggerer"])
def test_a_killed_part_is_started_again_and_its_children_do_not_stay(stack, name):
    killed = psutil.Process(stack.await_all_running()[name]["pid"])
    family = [killed, *killed.children(recursive=True)]

    killed.kill()

    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    assert stack.await_all_running()[name]["pid"] != killed.pid


def test_stopping_after_a_crash_of_the_supervisor_leaves_nothing_behind(stack):
    stack.await_all_running()
    exported = stack.environment | {"MYSIMBDP_STATE": str(stack.state)}
    shell = subprocess.Popen(["sleep", "600"], env=exported, cwd=stack.state)
    try:
        stack.supervisor().send_signal(signal.SIGKILL)

        done = stack.run("down")

        assert done.returncode == 0
        assert [process.pid for process in stack.processes()] == [shell.pid]
        assert shell.poll() is None
        assert stack.run("down").stdout.strip() == "Nothing was running."
        assert stack.run("status").returncode == 1
    finally:
        shell.kill()
        shell.wait()
        stack.up()


def test_starting_after_a_crash_of_the_supervisor_replaces_what_it_left(stack):
    before = stack.await_all_running()
    stack.supervisor().send_signal(signal.SIGKILL)

    stack.up()

    after = stack.await_all_running()
    assert not {part["pid"] for part in before.values()} & {part["pid"] for part in after.values()}


def test_other_ports_need_a_stop_first(stack, free_port):
    stack.await_all_running()
    done = stack.run("up", MYSIMBDP_SMTP_PORT=str(free_port()))

    assert "Run `mysimbdp down` first" in only_line(done)


@pytest.mark.parametrize(
    "setting",
    [
        *("MYSIMBDP_MONGO_PORT", "MYSIMBDP_KAFKA_PORT", "MYSIMBDP_KAFKA_CONTROLLER_PORT"),
        *("MYSIMBDP_AIRFLOW_PORT", "MYSIMBDP_SMTP_PORT"),
    ],
)
def test_a_taken_port_is_told_in_one_sentence_and_nothing_is_started(make_stack, setting):
    other = make_stack()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]

        line = only_line(other.run("up", **{setting: str(port)}))

    assert f"Port {port} is taken by" in line
    assert f"(pid {os.getpid()})" in line
    assert f"set {setting} to a free port" in line
    assert not other.processes()


def test_a_mongod_that_lacks_a_library_is_told_in_one_sentence(make_stack, fake_mongod):
    fake_mongod("echo 'libcrypto.so.3: cannot open shared object file' >&2; exit 127")

    line = only_line(make_stack().run("up", PATH=fake_mongod.path))

    assert "libcrypto.so.3" in line
    assert "MONGO_URL" in line


def test_a_kafka_of_the_providers_own_that_does_not_answer_is_told_in_one_sentence(
    make_stack, free_port
):
    other = make_stack()
    address = f"127.0.0.1:{free_port()}"

    line = only_line(other.run("up", KAFKA_BROKER=address))

    assert f"Kafka at {address} cannot be used" in line
    assert "KAFKA_LOGIN" in line
    assert not other.processes()


def test_a_part_that_cannot_start_is_named_with_its_last_error_and_log(make_stack, fake_mongod):
    other = make_stack()
    fake_mongod("[ $1 = --version ] && echo db version v6 && exit; echo Error: no room >&2; exit 1")
    try:
        line = only_line(other.run("up", PATH=fake_mongod.path))

        assert "mongod does not start: Error: no room" in line
        assert str(other.state / "logs" / "mongod.out") in line
        assert other.run("status").returncode == 1
    finally:
        other.run("down")
    assert not other.processes()


def test_a_state_folder_that_cannot_be_written_is_told_in_one_sentence(make_stack):
    line = only_line(make_stack().run("up", MYSIMBDP_STATE="/proc/state"))

    assert "/proc/state cannot be written" in line
    assert "set MYSIMBDP_STATE" in line
