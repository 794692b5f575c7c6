import contextlib
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult

from mysimbdp import errors
from mysimbdp.reporting import email, report


class Mailbox(Message):
    """Keep what arrives; refuse some recipients for good, or every mail for now."""

    def __init__(self):
        super().__init__()
        self.messages = []
        self.recipients = []
        self.answer = None

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: ARG002, N802
        if address.startswith("gone@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.answer:
            return self.answer
        return await super().handle_DATA(server, session, envelope)

    def handle_message(self, message):
        self.messages.append(message)
        self.recipients.append(message["X-RcptTo"])


@contextlib.contextmanager
def serving(mailbox, port, **options):
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()


@pytest.fixture
def port(free_port):
    return free_port()


@pytest.fixture
def mailbox(port):
    with serving(Mailbox(), port) as mailbox:
        yield mailbox


def mailer(port, **fields):
    return email.Mailer(host="127.0.0.1", port=port, sender="platform@example.org", **fields)


def mail(*contacts, name="café.csv"):
    ingestion = report.IngestionReport(
        id="20261122T234001-1",
        tenant="tenant2",
        pipeline="taxi",
        name=name,
        path=name,
        size_bytes=1,
        state=report.State.REJECTED,
        violations=("File café.csv is too large (428118778 > 350MB).",),
    )
    where = {ingestion.id: Path("staging/tenant2/rejected/taxi/2026-11-22/20261122T234001-1")}
    return email.rejection_mail("tenant2", contacts, "taxi", [ingestion], where)


def test_a_mail_reaches_every_contact_with_its_text_whole(mailbox, port):
    sent = mail("a@example.org", "b@example.org")
    assert mailer(port).send(sent) == ()
    (message,) = mailbox.messages
    assert mailbox.recipients == ["a@example.org, b@example.org"]
    assert message["From"] == "platform@example.org"
    assert message["X-Mysimbdp-Tenant"] == "tenant2"
    text = message.get_payload(decode=True).decode()
    assert "File café.csv is too large (428118778 > 350MB)." in text


def test_a_repeat_is_recognised_by_its_message_id(mailbox, port):
    for _ in range(2):
        mailer(port).send(mail("a@example.org"))
    first, second = mailbox.messages
    assert first["Message-ID"] == second["Message-ID"]


def test_a_refused_contact_is_named_while_the_others_get_their_mail(mailbox, port):
    assert mailer(port).send(mail("gone@example.org", "a@example.org")) == ("gone@example.org",)
    assert mailbox.recipients == ["a@example.org"]


def test_a_mail_that_no_contact_takes_is_not_tried_again(mailbox, port):
    with pytest.raises(email.MailRefusedError, match=r"550 .*no such mailbox"):
        mailer(port).send(mail("gone@example.org"))


def test_a_server_that_is_busy_is_tried_again_later(mailbox, port):
    mailbox.answer = "451 try again later"
    with pytest.raises(errors.ServiceUnavailableError, match="try again later"):
        mailer(port).send(mail("a@example.org"))


def test_a_server_that_is_down_is_named_and_tried_again_later(port):
    with pytest.raises(errors.ServiceUnavailableError, match=f"127.0.0.1:{port} .*refused"):
        mailer(port).send(mail("a@example.org"))


def test_a_server_without_tls_gets_no_mail_that_needs_it(mailbox, port):
    with pytest.raises(email.MailRefusedError, match="STARTTLS"):
        mailer(port, starttls=True).send(mail("a@example.org"))
    assert mailbox.messages == []


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_wrong_password_is_not_tried_again_and_not_shown(port):
    def accept(server, session, envelope, mechanism, login):
        return AuthResult(success=login.password == b"right", handled=False)

    options = {"authenticator": accept, "auth_require_tls": False, "auth_required": True}
    with serving(Mailbox(), port, **options) as mailbox:
        mailer(port, user="platform", password="right").send(mail("a@example.org"))
        with pytest.raises(email.MailRefusedError) as caught:
            mailer(port, user="platform", password="wrong-one").send(mail("a@example.org"))
    assert "wrong-one" not in str(caught.value)
    assert len(mailbox.messages) == 1
