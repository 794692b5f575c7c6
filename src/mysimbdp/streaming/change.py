"""Change what a running app shall do, wait until it is so, and say so in one sentence."""

from __future__ import annotations

import time
from collections.abc import Callable

from mysimbdp import errors
from mysimbdp.streaming import standing, store
from mysimbdp.streaming.request import Action, Request
from mysimbdp.streaming.standing import Standing
from mysimbdp.streaming.store import StreamStore

#: Longer than a drain may take.
PATIENCE_SECONDS = 60.0
_LOOK_SECONDS = 0.5
_AT_WORK = frozenset({standing.RUNNING, standing.WAITING})


class NotYetError(errors.TerminalError):
    """The app did not get there in time."""


class AppFailedError(errors.TerminalError):
    """The app could not go on."""


def carry_out(streams: StreamStore, asked: Request, by: str) -> str:
    """Stop, scale or restart an app; return when it is so, with a sentence about it.

    Raises:
        UsageError: only a running app can be scaled or restarted.
        AppFailedError: the app failed meanwhile.
        NotYetError: it takes too long; what was asked for stays asked for.
        ServiceUnavailableError: MongoDB does not answer.

    """
    before = look(streams, asked.tenant, asked.app)
    if asked.action is not Action.STOP and not before.is_supervised:
        raise errors.UsageError(
            f"{asked.name} is {before.actual}, so it cannot {asked.action}. Start it first: "
            f"mysimbdp streams start {asked.tenant} {asked.app}.",
        )
    _wish(streams, asked, by)
    if not before.is_supervised:
        return f"{asked.name} is not running; it stays stopped."
    after = wait(
        lambda: look(streams, asked.tenant, asked.app), lambda now: is_done(asked, before, now)
    )
    return _sentence(asked, after)


def look(streams: StreamStore, tenant: str, app: str) -> Standing:
    """Tell how an app stands now."""
    return standing.of(streams.read(tenant, app), tenant, app)


def wait(
    look_again: Callable[[], Standing],
    is_enough: Callable[[Standing], bool],
    patience_seconds: float = PATIENCE_SECONDS,
) -> Standing:
    """Look until it is enough.

    Raises:
        NotYetError: it never was.

    """
    deadline = time.monotonic() + patience_seconds
    while not is_enough(now := look_again()):
        if time.monotonic() > deadline:
            raise NotYetError(
                f"{now.tenant}.{now.app} is still {now.actual} after {patience_seconds:.0f} s; it "
                f"goes on with it. See mysimbdp streams list --tenant {now.tenant}"
                f"{f': {now.advice}' if now.advice else '.'}"
            )
        time.sleep(_LOOK_SECONDS)
    return now


def is_done(asked: Request, before: Standing, now: Standing) -> bool:
    """Tell whether an app is as it was asked to be."""
    if not now.is_supervised:
        return True
    if asked.action is Action.STOP:
        return False
    pids = {one["pid"] for one in now.instances if one["state"] in _AT_WORK}
    if asked.action is Action.RESTART:
        pids -= {one["pid"] for one in before.instances}
    return len(pids) == len(now.instances) == now.wanted_instances


def stop_sentence(
    name: str, *, total: int, rejected: int, last_message_at: str | None, kills: int
) -> str:
    """Say what a stopped app has done since it was started."""
    last = f", the last one of {last_message_at}" if last_message_at else ""
    text = f"{name} is stopped: {total:,} messages since its start, {rejected:,} rejected{last}"
    if not kills:
        return f"{text}; all instances drained, everything taken is stored and committed."
    return (
        f"{text}; {kills} instance(s) did not drain in time and had to be ended, what they had "
        "not committed is read again at the next start."
    )


def failure_sentence(name: str, cause: str | None, error: str | None) -> str:
    """Say why an app stopped by itself."""
    because = f" because of {cause}" if cause else ""
    return f"{name} failed{because}: {error or 'no reason was given.'}"


def _wish(streams: StreamStore, asked: Request, by: str) -> None:
    if asked.action is Action.RESTART:
        streams.restart(asked.tenant, asked.app, by=by)
    elif asked.action is Action.SCALE:
        streams.want(asked.tenant, asked.app, by=by, instances=asked.instances)
    else:
        streams.want(asked.tenant, asked.app, by=by, state=store.STOPPED)


def _sentence(asked: Request, now: Standing) -> str:
    if now.actual == standing.FAILED:
        raise AppFailedError(failure_sentence(asked.name, now.cause, now.error))
    if not now.is_supervised:
        return stop_sentence(
            asked.name,
            total=now.total,
            rejected=now.rejected,
            last_message_at=now.last_message_at,
            kills=now.kills,
        )
    if asked.action is Action.SCALE:
        return f"{asked.name} runs with {now.wanted_instances} instance(s)."
    return f"{asked.name} was restarted: {now.wanted_instances} instance(s) began anew."
