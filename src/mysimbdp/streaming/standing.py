"""How a stream app stands, from what its instances say and from what the store keeps; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from mysimbdp import naming
from mysimbdp.streaming import store

STARTING = "starting"
RUNNING = "running"
WAITING = "waiting"
DRAINING = "draining"
RESTARTING = "restarting"
STOPPED = "stopped"
FAILED = "failed"
#: Its supervision has ended and the next one is to go on.
RENEWING = "renewing"
#: It shall run, and nobody supervises it.
LOST = "lost"

#: States in which nobody has to beat.
AT_REST = frozenset({STOPPED, FAILED})
#: The app's state is that of the first of these in which an instance is.
_WORST_FIRST = (RESTARTING, WAITING, STARTING, DRAINING)
#: An app that is not heard of for this long has no supervisor.
LOST_SECONDS = 15.0
#: A start may wait this long for a worker and a triggerer.
START_SECONDS = 60.0


@attrs.frozen(kw_only=True)
class Sums:
    """The figures of all instances of an app together."""

    total: int = 0
    rejected: int = 0
    last_message_at: str | None = None
    lag: int | None = None
    rate: float = 0.0

    def plus(self, instances: Sequence[Mapping[str, Any]]) -> Sums:
        """Add instances to those that are gone, whose lag and rate do not count any more."""
        lags = [one["lag"] for one in instances if one["lag"] is not None]
        times = [self.last_message_at, *(one["last_message_at"] for one in instances)]
        return Sums(
            total=self.total + sum(one["total"] for one in instances),
            rejected=self.rejected + sum(one["rejected"] for one in instances),
            last_message_at=max(filter(None, times), default=None),
            lag=sum(lags) if lags else None,
            rate=sum(one["rate"] for one in instances),
        )

    def facts(self) -> dict[str, Any]:
        """Return them as the store keeps them."""
        return attrs.asdict(self)


def together(instances: Iterable[Mapping[str, Any]], *, is_ending: bool) -> str:
    """Name the state of an app by those of its instances."""
    if is_ending:
        return DRAINING
    states = {one["state"] for one in instances}
    if not states:
        return STARTING
    return next((state for state in _WORST_FIRST if state in states), RUNNING)


@attrs.frozen(kw_only=True)
class Standing:
    """What an app shall do and what it does, for people and programs.

    Attributes:
        desired: running or stopped.
        actual: a state of this module.
        wanted_instances: how many there shall be.
        instances: what each says of itself.
        kills: instances that did not drain in time.
        advice: what a person is to do, if something is wrong.

    """

    tenant: str
    app: str
    desired: str
    actual: str
    wanted_instances: int
    instances: tuple[Mapping[str, Any], ...]
    by: str
    epoch: int
    run_id: str | None
    cause: str | None
    error: str | None
    lag: int | None
    rate: float
    last_message_at: str | None
    total: int
    rejected: int
    kills: int
    advice: str | None

    @property
    def is_supervised(self) -> bool:
        """Tell whether somebody looks after its instances now."""
        return self.actual not in AT_REST | {LOST}


def of(document: Mapping[str, Any], tenant: str, app: str, now: datetime | None = None) -> Standing:
    """Read an app's standing from its document, which is empty if nobody ever asked for it."""
    wish = document.get("wish", {})
    actual = _actual(document, now or datetime.now(UTC))
    instances = () if actual in AT_REST | {LOST} else tuple(document.get("instances", ()))
    return Standing(
        tenant=tenant,
        app=app,
        desired=wish.get("state", store.STOPPED),
        actual=actual,
        wanted_instances=wish.get("instances", 0),
        instances=instances,
        by=wish.get("by", ""),
        epoch=document.get("epoch", 0),
        run_id=document.get("run_id"),
        cause=document.get("cause"),
        error=document.get("error"),
        lag=document.get("lag") if instances else None,
        rate=document.get("rate", 0.0) if instances else 0.0,
        last_message_at=document.get("last_message_at"),
        total=document.get("total", 0),
        rejected=document.get("rejected", 0),
        kills=document.get("kills", 0),
        advice=_advice(tenant, app) if actual == LOST else None,
    )


def _actual(document: Mapping[str, Any], now: datetime) -> str:
    wish = document.get("wish", {})
    shall_run = wish.get("state") == store.RUNNING
    state = str(document.get("state", STOPPED))
    if state not in AT_REST:
        if _is_within(document.get("beat_at"), LOST_SECONDS, now):
            return state
        return LOST if shall_run else STOPPED
    if not shall_run or _is_newer(document.get("beat_at"), wish.get("at")):
        return state
    return STARTING if _is_within(wish.get("at"), START_SECONDS, now) else LOST


def _is_within(moment: datetime | None, seconds: float, now: datetime) -> bool:
    return moment is not None and now - moment <= timedelta(seconds=seconds)


def _is_newer(moment: datetime | None, other: datetime | None) -> bool:
    return moment is not None and other is not None and moment > other


def _advice(tenant: str, app: str) -> str:
    return (
        "Nobody supervises it, and none of its instances runs. If its DAG "
        f"{naming.stream_dag_id(tenant, app)} is paused, it goes on when that is unpaused; if the "
        "triggerer is down, when that is back (mysimbdp status). If its run was ended by hand: "
        f"mysimbdp streams start {tenant} {app} starts it, mysimbdp streams stop {tenant} {app} "
        "gives it up."
    )
