"""The mail about a missed objective, for the tenant's contacts and the operator; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from email import policy, utils
from email.message import EmailMessage

from mysimbdp.reporting import email, journal
from mysimbdp.reporting.alert import Alert, Kind, Letter

FAILED = "failed"
#: A digest shows the latest ones and counts the others.
_MOST_SHOWN = 10
_WHAT = {Kind.STREAM: "stream app", Kind.BATCH: "subdirectory"}
_NEXT = {
    Kind.STREAM: """\
    mysimbdp alerts --tenant {tenant}
    mysimbdp streams list --tenant {tenant}
    mysimbdp streams scale {tenant} {name} NUMBER
    mysimbdp streams start {tenant} {name}
    mysimbdp streams stop {tenant} {name}

They list all alerts and how the apps stand, run more instances (up to what is agreed), start an
app again, and stop it: its messages then wait in the topic.

What the app printed: logs/streams/{tenant}.{name}.log
""",
    Kind.BATCH: """\
    mysimbdp alerts --tenant {tenant}
    mysimbdp ingestions --tenant {tenant}

They list all alerts, and the files with how far each is.
The run, with the log of each task: {tenant}.{name}, run {run_id}, in Airflow.
""",
}


def alert_mail(letter: Letter, operator: str) -> EmailMessage:
    """Write the one mail about all that is new of one objective of one app.

    The same news give the same Message-ID, so that a repeat can be recognised.
    """
    latest, subject = letter.latest, letter.subject
    message = EmailMessage(policy=policy.SMTP)
    message["To"] = ", ".join(dict.fromkeys((*latest.contacts, operator)))
    headline = f"{_headline(latest)}{_times(letter.alerts)}"
    message["Subject"] = f"[mysimbdp] {subject.tenant}.{subject.name}: {headline}"
    message["Date"] = utils.format_datetime(datetime.now(UTC))
    message["Message-ID"] = _message_id(letter)
    message[email.TENANT_HEADER] = subject.tenant
    # Seven bits on the wire, which any server takes, whatever the tenant's code said.
    message.set_content(_text(letter), cte="quoted-printable")
    return message


def _text(letter: Letter) -> str:
    subject, latest = letter.subject, letter.latest
    shown = letter.alerts[-_MOST_SHOWN:]
    where = f"The {_WHAT[subject.kind]} {subject.name} of {subject.tenant}"
    more = len(letter.alerts) - len(shown)
    parts = [
        f"{where}: {_sentence(latest)}",
        *([f"{more} earlier ones are not shown here."] if more else []),
        *map(_entry, shown),
        "What to type next:\n\n" + _NEXT[subject.kind].format(**_names(latest)),
    ]
    return "\n\n".join(parts)


def _names(alert: Alert) -> dict[str, str]:
    return {"tenant": alert.tenant, "name": alert.name, "run_id": str(alert.run_id)}


def _entry(alert: Alert) -> str:
    lines = [
        ("objective", alert.cause),
        ("agreed", alert.expected),
        ("found", alert.found),
        ("since", _moment(alert.opened_at)),
    ]
    if alert.closed_at is not None:
        lines.append(("until", f"{_moment(alert.closed_at)}, {alert.ending}: {alert.ended_with}"))
    lines.append(("platform", _deed(alert)))
    return "\n".join(f"  {name + ':':<11}{journal.one_line(text)}" for name, text in lines)


def _deed(alert: Alert) -> str:
    if alert.kind is Kind.BATCH:
        return "It goes on; nothing is lost."
    text = alert.action_text or _restraint(alert)
    taken = "" if alert.action_taken_at is None else f" ({_moment(alert.action_taken_at)})"
    return text + taken


def _restraint(alert: Alert) -> str:
    if alert.on_breach == "nothing":
        return "It tells you, as agreed (on_breach: nothing)."
    if alert.is_open:
        return f"It waits with what was agreed ({alert.on_breach}): it did something a moment ago."
    return f"It did not come to what was agreed (on_breach: {alert.on_breach})."


def _headline(alert: Alert) -> str:
    if alert.is_open:
        return FAILED if alert.cause == FAILED else f"{alert.cause} missed"
    return f"{alert.cause}: {alert.ending}"


def _sentence(alert: Alert) -> str:
    if not alert.is_open:
        return f"{alert.cause}: {alert.ending}."
    return "it failed." if alert.cause == FAILED else "an agreed objective is missed."


def _times(alerts: Sequence[Alert]) -> str:
    if len(alerts) == 1:
        return ""
    return f" ({len(alerts)} times since {alerts[0].opened_at:%H:%M} UTC)"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _message_id(letter: Letter) -> str:
    told = sorted(f"{alert.id} {kind}" for alert in letter.alerts for kind in alert.untold)
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()
    return f"<{digest[:32]}.{letter.subject.tenant}@mysimbdp>"
