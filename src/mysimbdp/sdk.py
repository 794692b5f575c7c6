"""All that tenant code may import from the platform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Message", "Reject", "Result"]


class Reject(NamedTuple):
    """Stand in for a record that must not be stored: `Reject("negative fare")`.

    Return it in the place of the record; the row goes to the reject store with this reason.
    """

    reason: str


class Message(NamedTuple):
    """One message of a topic, as it was sent.

    `topic` is without the tenant's prefix; `timestamp` counts milliseconds since 1970, UTC.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Result(NamedTuple):
    """Return fewer rows than came in: what is stored, and why the rest is not.

    `data` holds the remaining rows, in their order; `rejects` maps the index of each other row of
    the incoming batch to its reason. Every incoming row must be in exactly one of the two.
    """

    data: Any
    rejects: Mapping[int, str]
