"""Read the reports of all stream apps from Kafka, each at least once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import attrs
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from mysimbdp import errors, naming
from mysimbdp.messaging import Properties

GROUP = f"{naming.PLATFORM_GROUPS}alerting"
#: How long `read` waits for a message.
POLL_SECONDS = 0.5
_BATCH_MESSAGES = 500
#: A topic or partition that is made later is found within this time.
_REFRESH_SECONDS = 5.0
_PATIENCE_SECONDS = 3.0

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Message:
    """One message of a metrics topic."""

    topic: str
    partition: int
    offset: int
    value: bytes


class MetricsReader:
    """A consumer of `metrics` and of tenants' own reports. One thread uses it.

    It keeps its offsets in a group, but is no member of it: it takes all partitions, so the next
    reader goes on at once, also after a kill, without waiting for a session to time out.
    """

    def __init__(self, login: Properties) -> None:
        self._refusal: KafkaError | None = None
        self._topics: set[str] = set()
        self._places: set[tuple[str, int]] = set()
        self._at_end: set[tuple[str, int]] = set()
        self._next_refresh = time.monotonic()
        self._known_troubles: set[tuple[str | None, int]] = set()
        self._consumer = _connect(login, self._note)

    def follow(self, tenants: Iterable[str]) -> None:
        """Read the topic of the platform, and those in which these tenants report themselves."""
        own = {naming.topic(tenant, naming.OWN_REPORTS) for tenant in tenants}
        topics = own | {naming.METRICS_TOPIC}
        if topics == self._topics and time.monotonic() < self._next_refresh:
            return
        self._next_refresh = time.monotonic() + _REFRESH_SECONDS
        self._topics = topics
        try:
            places = self._find(topics)
            if places != self._places:
                self._begin(places)
        except KafkaException as error:
            _log.warning("The reports cannot be read now: %s", error.args[0].str())

    def read(self) -> list[Message]:
        """Return the next messages, none after a while without any.

        Raises:
            ServiceUnavailableError: Kafka refuses the login; a new one may do.

        """
        if not self._places:
            time.sleep(POLL_SECONDS)
            return []
        found = []
        messages: list[Any] = self._consumer.consume(_BATCH_MESSAGES, POLL_SECONDS)
        for message in messages:
            if (error := message.error()) is not None:
                self._tell(error, message)
                continue
            found.append(
                Message(
                    topic=message.topic(),
                    partition=message.partition(),
                    offset=message.offset(),
                    value=message.value() or b"",
                )
            )
        if self._refusal is not None:
            raise errors.ServiceUnavailableError(
                f"Kafka does not let alerting read the reports: {self._refusal.str()}. It is tried "
                "again; see whether the registrar runs (mysimbdp status)."
            )
        return found

    def commit(self, messages: Collection[Message]) -> None:
        """Say that these are dealt with; where that fails, they are read again, which is harmless.

        The next commit may include them, too.
        """
        latest: dict[tuple[str, int], int] = {}
        for one in messages:
            latest[one.topic, one.partition] = one.offset + 1
        offsets = [TopicPartition(*place, offset) for place, offset in latest.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            _log.warning("What was read is not marked as read: %s", error.args[0].str())

    @property
    def has_heard_all(self) -> bool:
        """Tell whether the platform's topic has been read to its end since the beginning."""
        ours = {place for place in self._places if place[0] == naming.METRICS_TOPIC}
        return bool(ours) and ours <= self._at_end

    def close(self) -> None:
        """End; what was not committed is read again by the next one."""
        self._consumer.close()

    def _find(self, topics: Collection[str]) -> set[tuple[str, int]]:
        """Find the partitions of those topics that exist."""
        known = self._consumer.list_topics(timeout=_PATIENCE_SECONDS).topics
        return {
            (name, partition)
            for name, topic in known.items()
            if name in topics
            for partition in topic.partitions
        }

    def _begin(self, places: set[tuple[str, int]]) -> None:
        """Go on where the last reader committed.

        The offsets are asked for here: the library gives up on partitions whose offsets it cannot
        get at the first try, as when a server has just started.
        """
        wanted = [TopicPartition(*place) for place in sorted(places)]
        committed = self._consumer.committed(wanted, timeout=_PATIENCE_SECONDS)
        for one in committed:
            if one.error is not None:
                raise KafkaException(one.error)
            if one.offset < 0:
                one.offset = OFFSET_BEGINNING
        self._consumer.assign(committed)
        self._places = places
        self._at_end.clear()

    def _tell(self, error: KafkaError, message: Any) -> None:
        """Remember an end; complain once of anything else, and begin anew a little later."""
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - it is public
            self._at_end.add((message.topic(), message.partition()))
            return
        self._places = set()
        trouble = (message.topic(), error.code())
        if trouble not in self._known_troubles:
            self._known_troubles.add(trouble)
            _log.warning("The reports in %s cannot be read: %s", message.topic(), error.str())

    def _note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 - it is public
            self._refusal = error


def _connect(login: Properties, note: Callable[[KafkaError], None]) -> Consumer:
    try:
        return Consumer(
            {
                **login,
                "group.id": GROUP,
                "client.id": GROUP,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "error_cb": note,
            },
            logger=_log,
        )
    except KafkaException as error:
        raise errors.ConfigurationError(
            f"The login for Kafka is not usable: {error.args[0].str()}."
        ) from error
