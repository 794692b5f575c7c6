"""What the supervisor in the triggerer and an instance's process tell each other.

The order is the first line on the instance's standard input; it holds logins, so it is neither an
argument nor an environment variable. Each further line is a sign of life. When the input ends, the
instance drains: it finishes what it has taken, commits, and ends with exit code 0. On its standard
output the instance writes one status a second.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from mysimbdp import errors

T = TypeVar("T")

#: How often each side says that it is alive.
BEAT_SECONDS = 1.0
#: An instance that hears nothing for this long is alone: it drains and ends.
LOST_SECONDS = 8.0
#: Ends the process of an instance that gave up for a cause which a restart does not cure.
TERMINAL_EXIT = 3


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Start as this instance.

    Attributes:
        number: counts the instances of an app from 0.
        kafka: client properties with the tenant's login.
        metrics: client properties with the platform's login.
        mongo_url: coredms with the tenant's login.
        platform_url: coredms with the platform's login.
        arguments: what a script gets on its command line.

    """

    tenant: str
    app: str
    number: int
    kafka: dict[str, str]
    metrics: dict[str, str]
    mongo_url: str
    platform_url: str
    arguments: tuple[str, ...] = ()


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """How an instance stands; figures are those of the latest seconds.

    Attributes:
        state: starting, running, waiting (a server does not answer), draining, or failed.
        cause: a `streaming.causes.Cause` if it failed.
        partitions: `topic/partition` that it reads, topics without the tenant's prefix.
        lag: messages that wait in those partitions.
        rate: messages a second, stored or rejected.
        last_message_at: ISO time of the latest message taken.
        total: messages stored or rejected since the start.

    """

    state: str
    cause: str | None = None
    error: str | None = None
    partitions: tuple[str, ...] = ()
    lag: int | None = None
    rate: float = 0.0
    last_message_at: str | None = None
    total: int = 0
    rejected: int = 0


def encode(message: Order | Status) -> bytes:
    """Write one line."""
    return msgspec.json.encode(message) + b"\n"


def decode(line: bytes, kind: type[T]) -> T:
    """Read one line.

    Raises:
        TerminalError: the other side does not speak this language.

    """
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.MsgspecError as error:
        raise errors.TerminalError(f"A {kind.__name__} cannot be read: {error}.") from error
