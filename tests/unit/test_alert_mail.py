"""The mails about missed objectives: what they say, and when they are due."""

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

import attrs
import pytest

from mysimbdp.reporting import alert, alert_mail
from mysimbdp.reporting.alert import Alert, Kind, Letter, News

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
OPERATOR = "operator@platform.example"


def missed(minute=0, **fields):
    return Alert(
        tenant="tenant1",
        kind=Kind.STREAM,
        name="weather",
        cause="max_lag",
        expected="at most 100 messages waiting",
        found="5,321 messages",
        opened_at=NOON + timedelta(minutes=minute),
        contacts=("ops@tenant1.example", "second@tenant1.example"),
        untold=frozenset({News.OPENED}),
        **fields,
    )


def over(minute=0, ending="recovered", **fields):
    return attrs.evolve(
        missed(minute),
        closed_at=NOON + timedelta(minutes=minute + 1),
        ending=ending,
        ended_with="12 messages",
        **{"untold": frozenset({News.CLOSED}), **fields},
    )


def mail(*alerts):
    letter = Letter(subject=alerts[-1].subject, alerts=alerts)
    return message_from_bytes(
        alert_mail.alert_mail(letter, OPERATOR).as_bytes(), policy=policy.default
    )


def test_a_mail_tells_what_for_whom_agreed_found_since_when_done_and_what_to_type():
    done = {
        "action": "scale",
        "action_text": "It started one more instance: 2 of at most 4 that are agreed.",
        "action_taken_at": NOON,
    }
    message = mail(attrs.evolve(missed(), **done))
    text = message.get_content()
    assert message["Subject"] == "[mysimbdp] tenant1.weather: max_lag missed"
    for fact in (
        "The stream app weather of tenant1",
        "agreed:    at most 100 messages waiting",
        "found:     5,321 messages",
        "since:     2026-11-23 12:00:00 UTC",
        "platform:  It started one more instance: 2 of at most 4 that are agreed. (2026-11-23 12",
        "mysimbdp alerts --tenant tenant1",
        "mysimbdp streams scale tenant1 weather NUMBER",
        "logs/streams/tenant1.weather.log",
    ):
        assert fact in text


def test_it_goes_to_the_tenants_contacts_and_the_operator():
    message = mail(missed())
    assert message["To"] == f"ops@tenant1.example, second@tenant1.example, {OPERATOR}"
    assert message["X-Mysimbdp-Tenant"] == "tenant1"


@pytest.mark.parametrize(
    ("news", "deed"),
    [
        (missed(), "It tells you, as agreed (on_breach: nothing)."),
        (missed(on_breach="scale"), "It waits with what was agreed (scale)"),
        (over(on_breach="scale"), "It did not come to what was agreed (on_breach: scale)."),
    ],
)
def test_when_the_platform_did_nothing_the_mail_says_why(news, deed):
    assert f"platform:  {deed}" in mail(news).get_content()


def test_a_recovery_says_so_with_the_figure():
    message = mail(over())
    assert message["Subject"] == "[mysimbdp] tenant1.weather: max_lag: recovered"
    assert "until:     2026-11-23 12:01:00 UTC, recovered: 12 messages" in message.get_content()


@pytest.mark.parametrize(
    ("news", "subject"),
    [
        (attrs.evolve(missed(), cause="failed", found="memory: over 2GB"), "failed"),
        (over(ending="stopped"), "max_lag: stopped"),
        (attrs.evolve(over(), cause="failed"), "failed: recovered"),
    ],
)
def test_the_subject_tells_how_it_stands(news, subject):
    assert mail(news)["Subject"] == f"[mysimbdp] tenant1.weather: {subject}"


def test_a_late_batch_run_is_told_with_its_run_and_files():
    late = attrs.evolve(
        missed(), kind=Kind.BATCH, name="taxi", cause="settled_within", run_id="asset__1"
    )
    text = mail(late).get_content()
    assert "The subdirectory taxi of tenant1" in text
    assert "mysimbdp ingestions --tenant tenant1" in text
    assert "tenant1.taxi, run asset__1, in Airflow" in text


def test_a_digest_counts_and_shows_the_latest():
    message = mail(*(over(minute) for minute in range(12)), missed(13))
    assert message["Subject"].endswith("max_lag missed (13 times since 12:00 UTC)")
    assert "3 earlier ones are not shown here." in message.get_content()
    assert message.get_content().count("objective:") == 10


def test_the_same_news_give_the_same_message_id_and_others_another():
    assert mail(missed())["Message-ID"] == mail(missed())["Message-ID"]
    assert len({mail(one)["Message-ID"] for one in (missed(), missed(1), over())}) == 3


def test_what_a_tenants_code_said_adds_no_line_and_no_header():
    sly = attrs.evolve(missed(), cause="failed", found="boom\r\n\r\nPay here\nBcc: x@example.org")
    message = mail(sly)
    assert message["Bcc"] is None
    assert r"found:     boom\r\n\r\nPay here\nBcc: x@example.org" in message.get_content()


def letters(*waiting, told=(), minute=0):
    """Return the news of each letter that is due; `told` are pairs of kind and minute."""
    subject = missed().subject
    last = {(subject, kind): NOON + timedelta(minutes=at) for kind, at in told}
    found = alert.letters(waiting, last, NOON + timedelta(minutes=minute))
    return [(len(letter.alerts), letter.news) for letter in found]


BREACH, END = frozenset({News.OPENED}), frozenset({News.CLOSED})


def test_a_breach_is_told_at_once():
    assert letters(missed()) == [(1, BREACH)]


def test_its_end_is_told_at_once_too():
    assert letters(over(), told=[(News.OPENED, 0)], minute=1) == [(1, END)]


def test_the_next_breach_of_the_same_cause_waits_for_15_minutes_since_the_mail():
    again = missed(2)
    told = [(News.OPENED, 0), (News.CLOSED, 1)]
    assert letters(again, told=told, minute=14.9) == []
    assert letters(again, told=told, minute=15) == [(1, BREACH)]


def test_a_figure_that_swings_is_gathered_into_one_mail():
    swings = [over(minute, untold=BREACH | END) for minute in range(2, 12, 2)]
    told = [(News.OPENED, 0), (News.CLOSED, 1)]
    assert letters(*swings, told=told, minute=12) == []
    assert letters(*swings, told=told, minute=15) == [(5, BREACH | END)]


def test_another_cause_or_app_does_not_wait():
    others = [
        attrs.evolve(missed(2), cause="max_silence"),
        attrs.evolve(missed(2), name="other"),
        attrs.evolve(missed(2), tenant="tenant2"),
    ]
    assert letters(*others, told=[(News.OPENED, 1)], minute=2) == [(1, BREACH)] * 3


def test_a_mail_that_could_not_be_sent_is_tried_again_less_and_less_often():
    pauses = [alert.next_try(missed(tries=tries), NOON) - NOON for tries in (0, 1, 2, 30)]
    assert pauses == [timedelta(seconds=s) for s in (30, 60, 120, 900)]
    waits = missed(mail_due_at=NOON + timedelta(minutes=1))
    assert letters(waits) == []
    assert letters(waits, minute=1) == [(1, BREACH)]


def test_an_alert_survives_the_database():
    document = alert.to_document(missed(on_breach="scale", action_due_at=NOON))
    assert alert.from_document(document) == missed(on_breach="scale", action_due_at=NOON)
