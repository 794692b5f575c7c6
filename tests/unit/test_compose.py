"""docker-compose.yaml is valid, keeps no secret, and says the same as the embedded stack."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mysimbdp import messaging, settings
from mysimbdp.local_stack import airflow, kafka_configuration, kafka_jars, mongod
from mysimbdp.secrets import SecretStore

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yaml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]
ONE_OFFS = {"init", "mongo-init"}
#: Settings of the images themselves, which the platform never reads.
IMAGE_SETTINGS = re.compile(
    r"AIRFLOW__|AIRFLOW_CONN_|KAFKA_(?!BROKER$|LOGIN$)|POSTGRES_|MONGO_INITDB_|DUMB_INIT_"
)
#: What production does differently from the embedded stack, on purpose.
OWN_TUNING = {"AIRFLOW__CORE__EXECUTOR", "AIRFLOW__API__WORKERS"}
OWN_KAFKA = {"listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs"}


def environment(service):
    return SERVICES[service].get("environment", {})


def strings(value):
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [str(value)]


def images():
    return {name: service["image"] for name, service in SERVICES.items()}


def test_the_file_follows_the_compose_specification():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    done = subprocess.run(
        [*command, "vendor.compose-spec", str(FILE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_health_check_or_is_a_one_off(service):
    if service in ONE_OFFS:
        assert SERVICES[service]["restart"] == "no"
        assert "healthcheck" not in SERVICES[service]
    else:
        assert SERVICES[service]["healthcheck"]["test"]
        assert SERVICES[service]["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_limited_and_runs_without_root_and_its_capabilities(service):
    limits = SERVICES[service]["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory"}
    assert SERVICES[service]["user"].split(":")[0] not in {"root", "0"}
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]


def test_services_wait_for_what_they_need_by_its_condition():
    for service in SERVICES.values():
        for name, needed in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if name in ONE_OFFS else "service_healthy"
            assert needed == {"condition": expected}


def test_images_are_pinned_to_a_full_version():
    for image in images().values():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$", image), image


def test_kafka_is_the_version_of_the_embedded_one():
    assert images()["kafka"] == f"apache/kafka:{kafka_jars.VERSION}"


def test_the_airflow_image_has_the_version_of_the_lock_and_checks_every_hash():
    dockerfile = (ROOT / "docker/airflow.Dockerfile").read_text()
    lock = (ROOT / "requirements/runtime.txt").read_text()
    version = re.search(r"^apache-airflow==(\S+)", lock, re.MULTILINE)[1]
    assert f"FROM apache/airflow:{version}-python3.11" in dockerfile
    assert "--require-hashes -r /opt/mysimbdp/requirements/production.txt" in dockerfile


def test_production_runs_the_versions_that_were_tested():
    def versions(name):
        text = (ROOT / "requirements" / name).read_text()
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))

    tested, production = versions("runtime.txt"), versions("production.txt")
    assert tested.items() <= production.items()
    assert "apache-airflow-providers-celery" in production


def test_no_secret_is_in_the_file():
    for name, value in ((n, v) for s in SERVICES for n, v in environment(s).items()):
        if re.search(r"PASSWORD|SECRET|FERNET|SQL_ALCHEMY_CONN|BROKER_URL|RESULT_BACKEND", name):
            assert name.endswith(("_FILE", "_CMD")), name
            assert "/run/secrets/" in value, name
    for text in strings(COMPOSE):
        for login in re.findall(r"\w+://[^/\s@]*:([^@/\s]*)@", text):
            assert login == "%s" or login.startswith(("$$(cat /run/secrets/", "password")), text


def test_each_secret_is_a_file_that_the_deployer_has_to_name():
    for name, secret in COMPOSE["secrets"].items():
        assert secret["file"].startswith("${SECRETS_FOLDER:?")
        assert secret["file"].endswith(f"/{name}")


def test_services_get_only_the_secrets_that_they_read():
    for name, service in SERVICES.items():
        given = set(service.get("secrets", ()))
        read = set(re.findall(r"/run/secrets/(\w+)", " ".join(strings(service))))
        assert given == read, name


@pytest.mark.parametrize(
    ("secret", "holders"),
    [
        ("mongo_registrar", {"registrar", "mongo", "mongo-init"}),
        ("kafka_registrar", {"registrar", "kafka"}),
        ("kafka_broker", {"kafka"}),
        ("kafka_controller", {"kafka"}),
    ],
)
def test_the_administrators_login_is_given_to_the_registrar_and_the_server_only(secret, holders):
    assert {name for name, one in SERVICES.items() if secret in one.get("secrets", ())} == holders


def test_settings_have_the_names_that_the_platform_reads():
    tree = ast.parse((ROOT / "src/mysimbdp/settings.py").read_text())
    known = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    used = {name for service in SERVICES for name in environment(service)}
    used |= set(re.findall(r"\$\{(MYSIMBDP_\w+)", FILE.read_text()))
    own = {name for name in used if not IMAGE_SETTINGS.match(name)}
    assert {"MYSIMBDP_HOME", "MYSIMBDP_STATE", "MONGO_URL", "KAFKA_BROKER", "AIRFLOW_URL"} <= own
    assert own <= known


def test_airflow_options_exist_in_this_airflow():
    # Finding the package does not run it.
    folder = Path(importlib.util.find_spec("airflow").submodule_search_locations[0])
    sections = yaml.safe_load((folder / "config_templates" / "config.yml").read_text())
    for name in environment("scheduler"):
        if not name.startswith("AIRFLOW__") or name.startswith("AIRFLOW__CELERY__"):
            continue
        _, section, option = name.lower().removesuffix("_cmd").split("__")
        assert option in sections[section]["options"], name
        assert not name.endswith("_CMD") or sections[section]["options"][option]["sensitive"], name


def test_airflow_is_tuned_as_in_the_embedded_stack():
    tuned = environment("scheduler")
    embedded = {name: text for name, text in airflow._TUNING.items() if name not in OWN_TUNING}
    assert {name: tuned.get(name) for name in embedded} == embedded
    assert tuned["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"


def test_all_airflow_programs_share_settings_image_and_volumes():
    programs = ("api-server", "scheduler", "dag-processor", "triggerer", "worker", "registrar")
    first = SERVICES["init"]
    for name in programs:
        assert first["environment"].items() <= environment(name).items()
        assert SERVICES[name]["volumes"] == first["volumes"]
        assert SERVICES[name]["image"] == first["image"]


def test_the_replica_set_has_the_name_of_the_embedded_one():
    assert f"--replSet {mongod.REPLICA_SET} " in " ".join(strings(SERVICES["mongo"]["command"]))
    assert f"replicaSet={mongod.REPLICA_SET}" in environment("worker")["MONGO_URL"]


@pytest.fixture
def run_command(tmp_path):
    """Give a function that runs a service's command with secrets; return what it ends with."""
    for name in COMPOSE["secrets"]:
        (tmp_path / name).write_text(f"the-{name}")
    (tmp_path / "last").write_text("#!/bin/sh\nenv\n")
    (tmp_path / "last").chmod(0o755)

    def run(service, last):
        *shell, script = SERVICES[service]["command"]
        for old, new in {
            "$$": "$",
            "/run/secrets": str(tmp_path),
            "/run/mysimbdp": str(tmp_path),
            last: str(tmp_path / "last"),
        }.items():
            script = script.replace(old, new)
        given = {"PATH": os.environ["PATH"], **environment(service)}
        done = subprocess.run(
            [*shell, script], env=given, capture_output=True, text=True, check=True
        )
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    return run


def test_kafka_is_set_up_as_in_the_embedded_stack(run_command, tmp_path):
    own = settings.from_environment({"MYSIMBDP_HOME": str(tmp_path)})
    secrets = SecretStore(own.secrets)
    for user in ("registrar", "broker", "controller"):
        secrets.write(f"kafka/{user}", f"the-kafka_{user}")
    kafka_configuration.write(own, secrets)
    lines = kafka_configuration.path(own).read_text().splitlines()
    embedded = dict(line.split("=", 1) for line in lines if line and line[0] != "#")

    given = run_command("kafka", "/etc/kafka/docker/run")

    # The image's own rule: three underscores are a dash, two an underscore, one a dot.
    image = {
        name.removeprefix("KAFKA_").lower().replace("___", "-").replace("_", "."): text
        for name, text in given.items()
        if name.startswith("KAFKA_") and name != "KAFKA_HEAP_OPTS"
    }
    assert image.keys() == embedded.keys()
    assert {key: image[key] for key in image.keys() - OWN_KAFKA} == {
        key: embedded[key] for key in embedded.keys() - OWN_KAFKA
    }


def test_kafka_is_asked_for_its_health_with_the_registrars_login(run_command, tmp_path):
    run_command("kafka", "/etc/kafka/docker/run")

    login = tmp_path / "registrar.properties"
    assert 'username="registrar" password="the-kafka_registrar";' in login.read_text()
    assert login.stat().st_mode & 0o777 == 0o600


def test_the_registrar_gets_the_logins_of_both_servers(run_command, tmp_path):
    given = run_command("registrar", "python -m mysimbdp.registrar")

    own = settings.from_environment(given | {"MYSIMBDP_HOME": str(tmp_path)})
    login = messaging.registrar_login(own, SecretStore(tmp_path))
    assert "registrar:the-mongo_registrar@" in own.mongo_url
    assert login == {
        "security.protocol": "SASL_PLAINTEXT",
        "bootstrap.servers": "kafka:9092",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "registrar",
        "sasl.password": "the-kafka_registrar",
    }
    assert own.kafka_login.stat().st_mode & 0o777 == 0o600


def test_the_script_makes_each_secret_once_for_its_owner_only(tmp_path):
    folder = tmp_path / "secrets"
    runs = [
        subprocess.run(
            [ROOT / "docker/make-secrets", folder], capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    assert {path.name for path in folder.iterdir()} == COMPOSE["secrets"].keys()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(len(path.read_text()) >= 44 for path in folder.iterdir())
    assert len(runs[0].stdout.splitlines()) == len(COMPOSE["secrets"])
    assert runs[1].stdout == ""
