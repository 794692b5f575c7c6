"""The rules of admission: which files are refused, with which words."""

import attrs
import pytest

from mysimbdp.agreements import admission
from mysimbdp.agreements.admission import Candidate, Finding
from mysimbdp.agreements.model import Agreement, FileType

MEGABYTE = 2**20
CSV, JSON, XML = FileType.CSV, FileType.JSON, FileType.XML
PATH = "staging/tenant2/taxi/trips.csv"


def agreement(**service):
    types = service.pop("file_types", ["CSV", "JSON", "XML"])
    return Agreement(
        data_constraints={"file_types": types, "max_file_size": "350MB"},
        service_agreement={
            "max_throughput": "5MB/s",
            "max_concurrent_ingestions": 2,
            "storage_space_staging": "0.5GB",
            "max_memory": "2GB",
            **service,
        },
        contacts=["ops@tenant2.example"],
    )


GOOD = Candidate(
    tenant="tenant2",
    name="trips.csv",
    shown_path=PATH,
    kind="file",
    links=1,
    readable=True,
    escapes=False,
    size_bytes=1000,
    format_by_name="CSV",
    finding=Finding(CSV, "CSV"),
    staging_used_bytes=1000,
    running=0,
    duplicate_of=None,
)


def judge(agreed=None, formats=None, **changes):
    candidate = attrs.evolve(GOOD, **changes)
    return admission.judge(candidate, agreed or agreement(), formats)


def messages(*args, **changes):
    return [violation.message for violation in judge(*args, **changes)]


def codes(*args, **changes):
    return [violation.code for violation in judge(*args, **changes)]


def test_a_good_file_is_admitted():
    assert judge() == ()


def test_a_type_outside_the_agreement_is_refused_with_the_supported_ones():
    refused = judge(
        agreement(file_types=["CSV"]),
        tenant="tenant1",
        format_by_name="JSON",
        finding=Finding(JSON, "JSON"),
    )

    assert refused == (
        admission.Violation(
            "unsupported_type",
            "Filetype JSON not supported for tenant1. Supported filetypes: ['CSV']",
        ),
    )


def test_a_type_that_the_subdirectory_does_not_take_is_refused_with_those_it_takes():
    assert messages(formats=(CSV,), format_by_name="JSON", finding=Finding(JSON, "JSON")) == [
        "Filetype JSON not supported for this subdirectory of tenant2. Supported filetypes: ['CSV']"
    ]


def test_a_file_without_an_extension_has_no_supported_type():
    assert messages(format_by_name="") == [
        (
            "Filetype (no extension) not supported for tenant2. "
            "Supported filetypes: ['CSV', 'JSON', 'XML']"
        )
    ]


def test_a_file_over_the_limit_is_refused_with_both_figures():
    assert messages(size_bytes=428_118_778, staging_used_bytes=428_118_778) == [
        f"File {PATH} is too large (428118778 > 350MB)."
    ]


def test_a_file_of_just_the_limit_is_admitted():
    limit = 350 * MEGABYTE

    assert judge(size_bytes=limit, staging_used_bytes=limit) == ()
    assert codes(size_bytes=limit + 1, staging_used_bytes=limit) == ["too_large"]


def test_too_much_staged_data_is_refused_with_both_figures_in_megabytes():
    assert messages(staging_used_bytes=642_178_356) == [
        "Too much data in staging directory. Allowed: 512.0 MB. Current: 612.43 MB"
    ]


def test_staging_space_may_be_used_to_the_last_byte():
    assert judge(staging_used_bytes=512 * MEGABYTE) == ()


def test_above_the_concurrency_limit_a_file_is_refused_if_so_agreed():
    assert messages(agreement(on_concurrency_limit="reject"), running=2) == [
        "Too many concurrent ingestions for tenant2. Max: 2 Current: 2."
    ]
    assert judge(agreement(on_concurrency_limit="reject"), running=1) == ()


def test_above_the_concurrency_limit_a_file_waits_by_default():
    assert judge(running=200) == ()


@pytest.mark.parametrize(
    "finding",
    [Finding(JSON, "JSON"), Finding(None, "an ELF program")],
)
def test_content_that_its_name_does_not_tell_is_refused_with_what_was_found(finding):
    (violation,) = judge(finding=finding)

    assert violation.code == "wrong_content"
    assert violation.message == (
        f"File {PATH} is not what its name says. Expected CSV, found {finding.reason}."
    )


def test_an_unknown_type_by_name_is_not_refused_a_second_time_for_its_content():
    assert codes(format_by_name="ZIP", finding=Finding(None, "a ZIP archive")) == [
        "unsupported_type"
    ]


def test_an_empty_file_is_refused_as_empty_only():
    assert codes(size_bytes=0, finding=Finding(None, "no bytes")) == ["empty_file"]


def test_a_symbolic_link_is_refused_for_what_it_is_whatever_its_target():
    assert codes(kind="symlink", readable=False, finding=None, size_bytes=0) == ["symlink"]
    assert codes(kind="symlink", escapes=True, finding=None) == ["path_traversal", "symlink"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "device"])
def test_only_regular_files_are_admitted(kind):
    (violation,) = judge(kind=kind, readable=False, finding=None)

    assert violation.code == "not_a_file"
    assert violation.message.endswith(f"Expected a regular file, found a {kind}.")


@pytest.mark.parametrize("name", ["../trips.csv", "a/b.csv", "..\\..\\x.csv", "..", ""])
def test_a_name_that_reads_as_a_path_is_refused(name):
    assert codes(name=name) == ["path_traversal"]


def test_a_file_with_a_second_name_is_refused():
    (violation,) = judge(links=2, finding=None)

    assert violation.code == "hard_link"
    assert "Expected 1 hard link, found 2" in violation.message


def test_an_unreadable_file_is_refused():
    assert codes(readable=False, finding=None) == ["unreadable"]


def test_a_duplicate_is_refused_with_the_file_that_was_first():
    assert messages(duplicate_of="monday.csv, loaded") == [
        f"File {PATH} is a duplicate. Expected new content, found that of monday.csv, loaded."
    ]


def test_every_violation_of_a_file_is_told_at_once_the_cheap_ones_first():
    refused = codes(
        agreement(file_types=["XML"], on_concurrency_limit="reject"),
        name="a/b.csv",
        links=2,
        readable=False,
        size_bytes=351 * MEGABYTE,
        finding=Finding(JSON, "JSON"),
        staging_used_bytes=600 * MEGABYTE,
        running=5,
        duplicate_of="monday.csv",
    )

    assert refused == [
        "path_traversal",
        "hard_link",
        "unreadable",
        "unsupported_type",
        "too_large",
        "wrong_content",
        "staging_full",
        "too_many_ingestions",
        "duplicate",
    ]


def test_a_message_stays_on_one_line_and_can_be_stored_whatever_the_name():
    (message,) = messages(shown_path="a\nb\x1b[31m\udcff.csv", size_bytes=0)

    assert message.isprintable()
    assert message.encode()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("trips.csv", "CSV"),
        ("trips.CSV", "CSV"),
        ("trips.2024.json", "JSON"),
        ("cars.jsonl", "JSON"),
        ("cars.ndjson", "JSON"),
        ("trips.csv.gz", "GZ"),
        ("README", ""),
        ("trips.", ""),
    ],
)
def test_the_last_extension_names_the_format(name, expected):
    assert admission.format_by_name(name) == expected
