import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from mysimbdp import errors
from mysimbdp.local_stack import kafka_jars

# That nothing is reached is what some of these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:A test tried to use socket")

JARS = {"first": b"one", "second": b"two"}


@pytest.fixture
def maven(tmp_path, monkeypatch):
    """Give the folder of a Maven cache that has all jars; ours is empty, there is no network."""
    repository = tmp_path / "m2"
    for name, content in JARS.items():
        path = repository / "org" / "example" / name / "1.0" / f"{name}-1.0.jar"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    monkeypatch.setenv("M2_REPO", str(repository))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return repository


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "kafka.lock.toml"
    path.write_text("".join(map(entry, JARS)))
    return path


def entry(name):
    return f"""
[[dependencies]]
groupId = "org.example"
artifactId = "{name}"
version = "1.0"
packaging = "jar"
sha256 = "{hashlib.sha256(JARS[name]).hexdigest()}"
"""


def test_every_jar_of_the_committed_lock_has_a_hash_and_a_name_of_its_own():
    jars = kafka_jars.read_lock()

    assert {len(jar.sha256) for jar in jars} == {64}
    assert len({jar.name for jar in jars}) == len(jars)
    assert f"kafka_2.13-{kafka_jars.VERSION}.jar" in {jar.name for jar in jars}
    assert any(jar.artifact == "log4j-core" for jar in jars)


def test_jars_are_taken_once_and_kept_for_all_stacks(maven, lock, tmp_path):
    folder = kafka_jars.fetch(lock)

    assert folder.is_relative_to(tmp_path / "cache" / "mysimbdp")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"{name}-1.0.jar": content for name, content in JARS.items()
    }
    for jar in maven.rglob("*.jar"):
        jar.unlink()
    assert kafka_jars.fetch(lock) == folder


def test_several_may_fetch_at_the_same_time(maven, lock):
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: kafka_jars.fetch(lock), range(8)))

    assert len(folders) == 1
    assert kafka_jars.missing(lock) == ()


def test_a_jar_that_was_damaged_is_fetched_again(maven, lock):
    folder = kafka_jars.fetch(lock)
    (folder / "first-1.0.jar").write_bytes(b"half")

    assert [jar.artifact for jar in kafka_jars.missing(lock)] == ["first"]
    kafka_jars.fetch(lock)

    assert (folder / "first-1.0.jar").read_bytes() == b"one"


def test_a_jar_that_is_not_the_locked_one_is_refused_with_both_hashes(maven, lock):
    (path,) = maven.rglob("second-1.0.jar")
    path.write_bytes(b"evil")

    with pytest.raises(errors.StackError) as refused:
        kafka_jars.fetch(lock)

    assert str(path) in str(refused.value)
    assert hashlib.sha256(b"evil").hexdigest() in str(refused.value)
    assert hashlib.sha256(b"two").hexdigest() in str(refused.value)
    assert not (kafka_jars.folder(lock) / path.name).exists()


def test_without_a_network_it_is_told_what_is_missing_and_what_to_do(maven, lock):
    (path,) = maven.rglob("second-1.0.jar")
    path.unlink()

    with pytest.raises(errors.StackError, match=r"second-1\.0\.jar.*KAFKA_BROKER") as refused:
        kafka_jars.fetch(lock)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[[dependencies", entry("first").replace("sha256", "md5")])
def test_a_broken_lock_is_told_in_one_sentence(lock, text):
    lock.write_text(text)

    with pytest.raises(errors.ConfigurationError, match=r"kafka\.lock\.toml is not a lock of jars"):
        kafka_jars.read_lock(lock)


def test_another_lock_has_a_folder_of_its_own(lock):
    before = kafka_jars.folder(lock)
    lock.write_text(entry("first"))

    assert kafka_jars.folder(lock) != before
