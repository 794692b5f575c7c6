"""What the platform does about a breach, as the agreement says; and the doing of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

import attrs

from mysimbdp.agreements.model import Agreement
from mysimbdp.reporting.alert import Alert
from mysimbdp.reporting.alerts import AlertStore
from mysimbdp.streaming import standing
from mysimbdp.streaming.breaches import Cause
from mysimbdp.streaming.store import STOPPED, StreamStore, Wish

#: Nothing is done to an app more often: what was done takes a while to show.
PAUSE = timedelta(minutes=5)
ACTOR = "alerting"

#: What can be done although the app does not run.
_REVIVING = frozenset({Cause.FAILED, Cause.SILENCE})
#: What more instances can cure.
_CURED_BY_INSTANCES = frozenset({Cause.INGESTION_TIME, Cause.LAG})


@attrs.frozen(kw_only=True)
class Action:
    """What is to be done to an app.

    Attributes:
        text: it in words, in the past tense, for the mail.
        instances: how many there shall be.

    """

    kind: Literal["nothing", "restart", "scale", "stop"]
    text: str
    instances: int | None = None


def choose(alert: Alert, agreement: Agreement, wish: Wish) -> Action:
    """Choose what is to be done about an open breach of a running app; pure."""
    match alert.on_breach:
        case "restart":
            return Action(kind="restart", text="It restarted the app.")
        case "stop":
            return Action(kind="stop", text="It stopped the app.")
        case "scale":
            return _more(alert.cause, agreement, wish)
    return Action(kind="nothing", text="It was agreed that it only tells you.")


@attrs.frozen(kw_only=True)
class Done:
    """What was done, in words, and the apps (tenant, app) that have yet to be started."""

    texts: tuple[str, ...] = ()
    starts: tuple[tuple[str, str], ...] = ()


def act(
    alerts: AlertStore,
    streams: StreamStore,
    find_agreement: Callable[[str], Agreement | None],
    now: datetime,
) -> Done:
    """Do what is due.

    The decision is noted before the deed: after a crash in between, the same is done again. An app
    that nobody supervises cannot be restarted by a wish; it is for the caller to start it.

    Raises:
        ServiceUnavailableError: MongoDB does not answer.

    """
    texts, starts = [], []
    for alert in alerts.actions_due(now):
        if alert.is_action_done:
            action = _plan(alerts, streams, find_agreement(alert.tenant), alert, now)
        else:
            action = _planned(alert)
        if action is None:
            continue
        if _apply(streams, alert, action, now):
            starts.append((alert.tenant, alert.name))
        alerts.acted(alert, now + PAUSE if action.kind == "scale" else None)
        texts.append(f"{alert.tenant}.{alert.name}, {alert.cause}: {action.text}")
    return Done(texts=tuple(texts), starts=tuple(starts))


def _plan(
    alerts: AlertStore,
    streams: StreamStore,
    agreement: Agreement | None,
    alert: Alert,
    now: datetime,
) -> Action | None:
    last = alerts.last_action(alert.tenant, alert.name)
    if last is not None and now - last < PAUSE:
        alerts.acted(alert, last + PAUSE)
        return None
    wish = streams.wish(alert.tenant, alert.name)
    if agreement is None or not (wish.runs or alert.cause in _REVIVING):
        alerts.acted(alert, None)
        return None
    action = choose(alert, agreement, wish)
    if action.kind == "nothing":
        alerts.note(alert, action.text)
        return None
    alerts.plan(alert, action.kind, action.text, now, action.instances)
    return action


def _planned(alert: Alert) -> Action:
    return Action(
        kind=alert.action,  # type: ignore[arg-type]  # it was written from an Action
        text=alert.action_text or "",
        instances=alert.action_instances,
    )


def _more(cause: str, agreement: Agreement, wish: Wish) -> Action:
    most = agreement.streams.max_instances if agreement.streams else 1
    if cause not in _CURED_BY_INSTANCES:
        return Action(kind="nothing", text="It did nothing: more instances do not cure this.")
    if wish.instances >= most:
        text = f"It did nothing: {wish.instances} instances run, and at most {most} are agreed."
        return Action(kind="nothing", text=text)
    wanted = wish.instances + 1
    text = f"It started one more instance: {wanted} of at most {most} that are agreed."
    return Action(kind="scale", text=text, instances=wanted)


def _apply(streams: StreamStore, alert: Alert, action: Action, now: datetime) -> bool:
    """Do it; return whether the app has to be started, too."""
    tenant, app = alert.tenant, alert.name
    match action.kind:
        case "restart":
            if not standing.of(streams.read(tenant, app), tenant, app, now).is_supervised:
                return True
            streams.restart(tenant, app, by=ACTOR)
        case "stop":
            streams.want(tenant, app, by=ACTOR, state=STOPPED)
        case "scale":
            streams.want(tenant, app, by=ACTOR, instances=action.instances)
    return False
