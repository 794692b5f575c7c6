"""Mail to a tenant about files that were not loaded."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email import policy, utils
from email.message import EmailMessage
from pathlib import Path

import attrs

from mysimbdp import errors, naming
from mysimbdp.reporting import journal, report

TENANT_HEADER = "X-Mysimbdp-Tenant"

_TIMEOUT_SECONDS = 10.0
#: Codes from here on say that the same mail will be refused again.
_FIRST_PERMANENT_CODE = 500
_ADVICE = """\
What to do: mend the file, or ask the provider for an agreement that allows it, then stage it again:

    mysimbdp stage {tenant} {pipeline} FILE

Nothing was deleted. See also: mysimbdp ingestions --tenant {tenant}
"""


class MailRefusedError(errors.TerminalError):
    """The mail server refuses the mail for good."""


@attrs.frozen(kw_only=True)
class Mailer:
    """A mail server and how to log in to it."""

    host: str
    port: int
    sender: str
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    starttls: bool = False

    def send(self, message: EmailMessage) -> tuple[str, ...]:
        """Send a mail in the name of the sender.

        Returns:
            The recipients that the server refused while it took the mail for others.

        Raises:
            ServiceUnavailableError: the server does not answer, or not now.
            MailRefusedError: the server refuses the login, the sender or every recipient.

        """
        del message["From"]
        message["From"] = self.sender
        try:
            with smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_SECONDS) as server:
                self._log_in(server)
                return tuple(server.send_message(message))
        except OSError as error:
            raise self._translated(error) from error

    def _log_in(self, server: smtplib.SMTP) -> None:
        if self.starttls:
            server.starttls(context=ssl.create_default_context())
        if self.user is not None:
            server.login(self.user, self.password or "")

    def _translated(self, error: OSError) -> errors.PlatformError:
        where = f"{self.host}:{self.port}"
        if _is_permanent(error):
            return MailRefusedError(
                f"The mail server {where} refuses the mail ({_answer(error)}); "
                "check sender, contacts and login.",
                server=where,
            )
        return errors.ServiceUnavailableError(
            f"The mail server {where} does not take mail now ({_answer(error)}); "
            "see whether it runs and whether host and port are right.",
            server=where,
        )


def rejection_mail(
    tenant: str,
    contacts: Sequence[str],
    pipeline: str,
    reports: Sequence[report.IngestionReport],
    where: Mapping[str, Path],
) -> EmailMessage:
    """Write the one mail about all files of a pipeline that were rejected or failed together.

    The same ingestions give the same Message-ID, so that a repeat can be recognised.

    Args:
        tenant: whose files they are.
        contacts: the recipients.
        pipeline: the subdirectory of the files.
        reports: one a file, at least one.
        where: the folder that now holds the file and its reason.json, by ingestion id.

    """
    message = EmailMessage(policy=policy.SMTP)
    message["To"] = ", ".join(contacts)
    message["Subject"] = f"[mysimbdp] {naming.dag_id(tenant, pipeline)}: {_counts(reports)}"
    message["Date"] = utils.format_datetime(datetime.now(UTC))
    message["Message-ID"] = _message_id(tenant, (ingestion.id for ingestion in reports))
    message[TENANT_HEADER] = tenant
    entries = [_entry(ingestion, where[ingestion.id]) for ingestion in reports]
    advice = _ADVICE.format(tenant=tenant, pipeline=pipeline)
    text = "\n".join(["These files were not loaded:\n", *entries, advice])
    # Seven bits on the wire, which any server takes, whatever the file names hold.
    message.set_content(text, cte="quoted-printable")
    return message


def _entry(ingestion: report.IngestionReport, folder: Path) -> str:
    what = "The file is" if ingestion.reingested else "The file and its reason.json are"
    lines = [
        f"{journal.one_line(ingestion.name)} ({ingestion.state})",
        *(f"  - {journal.one_line(reason)}" for reason in ingestion.reasons),
        f"  {what} in {journal.one_line(str(folder))}",
    ]
    return "\n".join(lines) + "\n"


def _counts(reports: Sequence[report.IngestionReport]) -> str:
    states = [ingestion.state for ingestion in reports]
    return ", ".join(
        f"{count} {'file' if count == 1 else 'files'} {state}"
        for state in (report.State.REJECTED, report.State.FAILED)
        if (count := states.count(state))
    )


def _message_id(tenant: str, ingestions: Iterable[str]) -> str:
    digest = hashlib.sha256("\n".join(sorted(ingestions)).encode()).hexdigest()
    return f"<{digest[:32]}.{tenant}@mysimbdp>"


def _is_permanent(error: OSError) -> bool:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= _FIRST_PERMANENT_CODE for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code >= _FIRST_PERMANENT_CODE
    return isinstance(error, smtplib.SMTPNotSupportedError)


def _answer(error: OSError) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        answers = {f"{code} {text!r}" for code, text in error.recipients.values()}
        return journal.one_line("; ".join(sorted(answers)))
    return journal.one_line(error.strerror or str(error) or type(error).__name__)
