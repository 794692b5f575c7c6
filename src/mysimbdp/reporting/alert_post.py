"""Send the mails about alerts that are due."""

from __future__ import annotations

import logging
from datetime import datetime

import attrs

from mysimbdp import errors
from mysimbdp.reporting.alert_mail import alert_mail
from mysimbdp.reporting.alerts import AlertStore
from mysimbdp.reporting.email import Mailer, MailRefusedError

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Posted:
    """How many mails were sent, and how many are to be tried again."""

    sent: int
    postponed: int


def post(alerts: AlertStore, mailer: Mailer, operator: str, now: datetime) -> Posted:
    """Send each mail that is due; what the server does not take is tried again later.

    Raises:
        ServiceUnavailableError: MongoDB does not answer.

    """
    sent = 0
    letters = alerts.letters_due(now)
    for number, letter in enumerate(letters):
        try:
            refused = mailer.send(alert_mail(letter, operator))
        except MailRefusedError as error:
            _log.warning("%s", error)
            alerts.postpone(letter, now, str(error))
            continue
        except errors.ServiceUnavailableError as error:
            # It would not take the others either.
            _log.warning("%d mail(s) wait: %s", len(letters) - number, error)
            for other in letters[number:]:
                alerts.postpone(other, now, str(error))
            break
        if refused:
            _log.warning("The mail server does not take mails for %s.", ", ".join(refused))
        alerts.mailed(letter, now)
        sent += 1
    return Posted(sent=sent, postponed=len(letters) - sent)
