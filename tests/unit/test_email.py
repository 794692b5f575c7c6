from email import message_from_bytes, policy
from pathlib import Path

from mysimbdp.reporting import email, report

TOO_LARGE = "File taxi.csv is too large (428118778 > 350MB)."
WRONG_TYPE = "Filetype JSON not supported for tenant2. Supported filetypes: ['CSV']"


def ingestion(number, name="taxi.csv", state="rejected", **fields):
    return report.IngestionReport(
        id=f"20261122T234001-{number}",
        tenant="tenant2",
        pipeline="taxi",
        name=name,
        path=f"inbox/{name}",
        size_bytes=1,
        state=report.State(state),
        **fields,
    )


def mail(*reports):
    where = {
        each.id: Path("staging/tenant2/rejected/taxi/2026-11-22") / each.id for each in reports
    }
    return email.rejection_mail(
        "tenant2", ["a@example.org", "b@example.org"], "taxi", reports, where
    )


def test_one_mail_tells_of_every_file_with_every_reason_and_where_it_is():
    message = mail(
        ingestion(1, "a.csv", violations=(TOO_LARGE, WRONG_TYPE)),
        ingestion(2, "b.csv", violations=(WRONG_TYPE,)),
    )
    text = message.get_content()
    assert message["Subject"] == "[mysimbdp] tenant2.taxi: 2 files rejected"
    assert message["To"] == "a@example.org, b@example.org"
    assert message["X-Mysimbdp-Tenant"] == "tenant2"
    assert text.index("a.csv") < text.index(TOO_LARGE) < text.index("b.csv")
    assert text.count(WRONG_TYPE) == 2
    for number in (1, 2):
        assert (
            f"reason.json are in staging/tenant2/rejected/taxi/2026-11-22/20261122T234001-{number}"
            in text
        )
    assert "mysimbdp stage tenant2 taxi FILE" in text


def test_the_subject_counts_rejected_and_failed_files_apart():
    message = mail(ingestion(1), ingestion(2, state="failed", cause="memory", error="Over 2GB."))
    assert message["Subject"] == "[mysimbdp] tenant2.taxi: 1 file rejected, 1 file failed"
    assert "memory: Over 2GB." in message.get_content()


def test_the_same_ingestions_in_any_order_give_the_same_message_id():
    first, second, third = ingestion(1), ingestion(2), ingestion(3)
    assert mail(first, second)["Message-ID"] == mail(second, first)["Message-ID"]
    assert mail(first, second)["Message-ID"] != mail(first, third)["Message-ID"]


def test_a_file_name_adds_no_header_and_no_line():
    name = "x.csv\r\nBcc: evil@example.org\r\n\r\nforged \udcff é"
    message = message_from_bytes(mail(ingestion(1, name)).as_bytes(), policy=policy.default)
    assert message["Bcc"] is None
    assert (
        r"x.csv\r\nBcc: evil@example.org\r\n\r\nforged \udcff é (rejected)" in message.get_content()
    )


def test_a_mail_is_plain_seven_bit_on_the_wire():
    for name in ("café.csv", "café.csv" + "x" * 2000):
        assert mail(ingestion(1, name)).as_bytes().isascii()


def test_the_password_does_not_show_when_the_mailer_is_printed():
    mailer = email.Mailer(host="h", port=25, sender="s@example.org", user="u", password="hush-hush")
    assert "hush-hush" not in repr(mailer)
