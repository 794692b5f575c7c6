"""Reading committed YAML: a value, or every problem at once, with file and key."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mysimbdp.agreements import load
from mysimbdp.agreements.model import Agreement

#: A busy machine is no failure.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FILE = "constraints/acme.yaml"
GOOD = """\
data_constraints:
  file_types: [CSV]
  max_file_size: 350MB
service_agreement:
  max_throughput: 5MB/s
  max_concurrent_ingestions: 2
  storage_space_staging: 0.5GB
  max_memory: 2GB
contacts: [ops@acme.example]
"""


@pytest.fixture
def read(tmp_path):
    """Give a function that reads text as an agreement: the value and the problems by key."""

    def read_text(text):
        path = tmp_path / "acme.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        value, _, problems = load.read(Agreement, path, FILE)
        return value, problems

    return read_text


def by_key(problems):
    assert len({problem.key for problem in problems}) == len(problems), "reported twice"
    return {problem.key: (problem.expected, problem.found) for problem in problems}


def test_a_good_file_becomes_an_agreement(read):
    value, problems = read(GOOD)

    assert problems == ()
    assert value.service_agreement.max_concurrent_ingestions == 2
    assert value.plan == "standard"


def test_every_problem_of_a_file_is_told_at_once_and_only_once(read):
    value, problems = read(
        """\
data_constraints:
  file_types: [CSV, csv]
  max_file_size: 350
  max_filesize: 350MB
service_agreement:
  max_throughput: 5MB
  max_concurrent_ingestions: 0
  storage_space_staging: 0MB
  on_concurrency_limit: drop
plan: gold
contacts: [nobody, 5]
"""
    )
    size = "a size such as 350MB or 0.5GB (units B, KB, MB, GB, TB)"
    contact = "an e-mail address such as ops@tenant1.example"

    assert value is None
    assert {problem.file for problem in problems} == {FILE}
    assert by_key(problems) == {
        "data_constraints.file_types[1]": ("one of CSV, JSON, XML", "'csv'"),
        "data_constraints.max_file_size": (size, "350"),
        "data_constraints.max_filesize": (
            "one of the keys file_types, max_file_size",
            "'max_filesize'",
        ),
        "service_agreement.max_throughput": (
            "a rate such as 5MB/s (units B/s, KB/s, MB/s, GB/s, TB/s)",
            "'5MB'",
        ),
        "service_agreement.max_concurrent_ingestions": ("at least 1", "0"),
        "service_agreement.storage_space_staging": (f"{size}, above zero", "'0MB'"),
        "service_agreement.max_memory": (size, "nothing"),
        "service_agreement.on_concurrency_limit": ("one of queue, reject", "'drop'"),
        "plan": ("one of basic, standard, premium", "'gold'"),
        "contacts[0]": (contact, "'nobody'"),
        "contacts[1]": (contact, "5"),
    }


def test_a_problem_reads_as_one_line():
    problem = load.Problem(file=FILE, key="plan", expected="one of a, b", found="'c'")

    assert str(problem) == f"{FILE}: plan: expected one of a, b, found 'c'"


@pytest.mark.parametrize(
    ("line", "key", "expected", "found"),
    [
        ("plan: 7", "plan", "one of basic, standard, premium", "7"),
        ("contacts: []", "contacts", "at least 1 item", "an empty list"),
        ("contacts: ops@acme.example", "contacts", "a list", "'ops@acme.example'"),
        ("service_agreement: [1]", "service_agreement", "a mapping with the keys", "a list"),
        (
            "data_constraints: {file_types: [CSV, CSV], max_file_size: 1MB}",
            "data_constraints.file_types",
            "each value once",
            "CSV, CSV",
        ),
    ],
)
def test_a_wrong_value_is_told_with_what_it_should_be(read, line, key, expected, found):
    name = line.partition(":")[0]
    kept = [block for block in _blocks(GOOD) if not block.startswith(name)]
    _, problems = read("".join(kept) + line + "\n")

    assert list(by_key(problems)) == [key]
    assert problems[0].expected.startswith(expected)
    assert problems[0].found == found


@pytest.mark.parametrize("value", ["true", "1.5", "'2'", ".nan"])
def test_a_count_is_a_whole_number_and_nothing_that_could_pass_for_one(read, value):
    _, problems = read(GOOD.replace("ingestions: 2", f"ingestions: {value}"))

    assert by_key(problems).keys() == {"service_agreement.max_concurrent_ingestions"}


def test_a_missing_section_is_told_with_the_keys_it_needs(read):
    _, problems = read("contacts: [ops@acme.example]\n")

    assert by_key(problems)["data_constraints"] == (
        "a mapping with the keys file_types, max_file_size",
        "nothing",
    )


def test_a_key_given_twice_is_a_problem_and_does_not_hide_others(read):
    _, problems = read(GOOD + "plan: basic\nplan: premium\ncolour: red\n")

    found = by_key(problems)
    assert found.keys() == {"plan", "colour"}
    assert found["plan"] == ("each key once", "it again in line 11, column 1")


def test_a_key_that_yaml_would_take_for_true_stays_text(read):
    _, problems = read(GOOD + "on: 1\n")

    assert by_key(problems).keys() == {"on"}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "nothing"),
        ("- CSV\n", "a list or a word"),
        ("CSV\n", "a list or a word"),
        ("a: b: c\n", "line 1, column 5"),
        ("a: [1\n", "line 2, column 1"),
        (GOOD + "---\n" + GOOD, "another document in line 10"),
        (b"a: \xff\n", "position 3"),
        (GOOD + "x: !!timestamp 2024-13-45\n", "month must be in 1..12"),
        ("? [a, b]\n: 1\n" + GOOD, "a structure in line 1"),
        ("a: &x [1]\nb: *x\n", "the alias *x in line 2, column 4"),
        ("a: &x [*x]\n", "the alias *x"),
        ("[" * 100_000, "line 1, column 21"),
        ("a: " + "x" * load.MAX_FILE_BYTES, "more"),
    ],
)
def test_a_file_that_is_no_plain_mapping_is_a_problem_with_its_place(read, content, found):
    value, problems = read(content)

    assert value is None
    assert found in problems[0].found


def test_tags_of_other_languages_build_nothing(read):
    value, problems = read(GOOD + "x: !!python/object/apply:os.getcwd []\n")

    assert value is None
    assert by_key(problems).keys() == {"x"}


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path):
    (tmp_path / "acme.yaml").mkdir()
    value, data, (problem,) = load.read(Agreement, tmp_path / "acme.yaml", FILE)

    assert (value, data) == (None, None)
    assert "directory" in problem.found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("data_constraints", "service_agreement", "plan", "contacts")


@UNHURRIED
@given(data=JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, JSON)))
def test_whatever_the_data_it_becomes_a_value_or_problems_never_an_exception(data):
    value, problems = load.validate(Agreement, data, FILE)

    assert (value is None) == bool(problems)
    by_key(problems)


def _blocks(text):
    """Split the text into its top-level keys."""
    blocks = []
    for line in text.splitlines(keepends=True):
        if line.startswith(" "):
            blocks[-1] += line
        else:
            blocks.append(line)
    return blocks
