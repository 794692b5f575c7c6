import pytest

from mysimbdp.agreements.load import Problem
from mysimbdp.orchestration import docs


@pytest.fixture
def pages(parsing, tenant):
    return {dag_id: dag.doc_md for dag_id, dag in parsing(tenant).dags.items()}


def test_the_page_shows_every_figure_of_the_agreement(pages):
    for figure in (
        "CSV, JSON",
        "350MB (367,001,600 bytes)",
        "5MB/s (5,242,880 bytes/s)",
        "2; further files wait",
        "0.5GB (536,870,912 bytes)",
        "2GB (2,147,483,648 bytes)",
        "premium (priority 100)",
        "`ops@tenant1.example`",
    ):
        assert figure in pages["tenant1.taxi"]


def test_the_page_shows_what_is_registered_and_where_rows_go(pages, parsing):
    for fact in (
        str(parsing.places.staging / "tenant1" / "taxi"),
        "`taxi:ingest`, gets arrow batches",
        "`tenant1.trips`",
        "`tenant1.rejects`; more than 0.00% fail a file",
        "`vendor_id` string",
        "1GB (1,073,741,824 bytes)",
        "30m (1800 s)",
    ):
        assert fact in pages["tenant1.taxi"]
    assert "| Tenant script | `black_box.py` |" in pages["tenant1.blackbox"]
    assert "| Memory | 2GB (2,147,483,648 bytes) |" in pages["tenant1.blackbox"]


def test_the_page_says_how_to_ingest_again(pages):
    assert "airflow backfill create --dag-id tenant1.taxi" in pages["tenant1.taxi"]
    assert "mysimbdp stage tenant1 taxi FILE" in pages["tenant1.taxi"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"`a\|b`"),
        ("`code` [x](http://y)", "`'code' [x](http://y)`"),
        ("two\nlines", "`two lines`"),
        ("\x00\udc80", r"`\x00\udc80`"),
        ("", ""),
    ],
)
def test_what_a_tenant_wrote_cannot_become_markdown(text, shown):
    assert docs.code(text) == shown


def test_problems_become_a_table_with_a_row_each():
    wrong = Problem(file="constraints/t.yaml", key="plan", expected="one of a, b", found="'c|d'")
    page = docs.stopped_page("t", [wrong, wrong])
    assert page.count(r"| `constraints/t.yaml` | `plan` | `one of a, b` | `'c\|d'` |") == 2
