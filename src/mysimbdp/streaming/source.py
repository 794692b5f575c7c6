"""The consumer of one instance: Kafka's group protocol, positions and troubles, and no data."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from mysimbdp import errors
from mysimbdp.messaging import Properties
from mysimbdp.streaming.batch import Partition
from mysimbdp.streaming.causes import Cause, stopped
from mysimbdp.streaming.checkpoint import Found
from mysimbdp.streaming.topics import ACCESS_CODES, Topics, translated

#: After the first message, so long for more of them to share the way.
LINGER_SECONDS = 0.01
_WAIT_SECONDS = 0.2
_ASK_SECONDS = 10.0
_LOOK_SECONDS = 30.0
_RETRY_SECONDS = 0.5
#: A dead instance's partitions go to the others after this.
_SESSION_SECONDS = 10
#: Waits for the instance to take it; with what is under way it bounds the memory.
_PREFETCH_KILOBYTES = 16 * 1024
_LOST_POSITION = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})  # noqa: SLF001
#: A login that is being changed may be refused for a moment.
_ACCESS_PATIENCE_SECONDS = 30.0

Places = Mapping[Partition, int]
_log = logging.getLogger(__name__)


class Source:
    """A member of a consumer group. For one thread, the instance's main one.

    Args:
        login: client properties with the tenant's login.
        group: consumer group, with the tenant's prefix.
        topics: with the tenant's prefix.
        on_assigned: gets what Kafka says of new partitions, returns where to read each on.
        on_revoked: called before partitions go to another instance; what is under way is finished
            and committed there.
        on_lost: called when they already have.

    """

    def __init__(
        self,
        login: Properties,
        group: str,
        topics: Sequence[str],
        *,
        on_assigned: Callable[[Mapping[Partition, Found]], Places],
        on_revoked: Callable[[Sequence[Partition]], None],
        on_lost: Callable[[Sequence[Partition]], None],
    ) -> None:
        self._on_assigned, self._on_revoked, self._on_lost = on_assigned, on_revoked, on_lost
        self._topics = list(topics)
        self._refused_since: float | None = None
        self._refusal: str | None = None
        self._failure: BaseException | None = None
        self._is_paused = False
        self.is_reachable = True
        self._positions: dict[Partition, int] = {}
        self.topics = Topics(login, topics)
        self._consumer = Consumer(
            {
                **login,
                "client.id": group,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": _SESSION_SECONDS * 1000,
                "queued.max.messages.kbytes": _PREFETCH_KILOBYTES,
                # The default of a second is a pause that readers feel.
                "fetch.queue.backoff.ms": 20,
                "error_cb": self._hear,
            },
            logger=_log,
        )

    def subscribe(self) -> None:
        """Join the group.

        Raises:
            StreamStoppedError: a topic does not exist, or the login may not read it.
            ServiceUnavailableError: Kafka does not answer.

        """
        self.topics.read()
        self._consumer.subscribe(
            self._topics, on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
        )

    def take(self, most: int) -> list[Message]:
        """Return the next messages, none if there is none in a moment.

        Raises:
            StreamStoppedError: the topic or the login is not what it was.

        """
        first = self._consumer.consume(1, _WAIT_SECONDS)
        self._check()
        if not first:
            return []
        more = self._consumer.consume(most - 1, LINGER_SECONDS) if most > 1 else []
        self._check()
        messages = [*first, *more]
        if any(map(Message.error, messages)):
            messages = [message for message in messages if not self._is_error(message)]
        self.is_reachable, self._refused_since = True, None
        return messages

    def advance(self, ends: Places) -> None:
        """Note that messages up to these positions are taken."""
        self._positions |= ends

    def rest(self) -> None:
        """Serve the group without taking messages, for the moment that the instance is full."""
        if not self._is_paused:
            self._consumer.pause(self._consumer.assignment())
            self._is_paused = True
        for message in self._consumer.consume(1, _WAIT_SECONDS / 2):
            if not self._is_error(message):
                # Fetched before the pause took effect: it is read again.
                self._consumer.seek(TopicPartition(*_place(message), cast("int", message.offset())))
        self._check()

    def go_on(self) -> None:
        """Take messages again after a rest."""
        if self._is_paused:
            self._consumer.resume(self._consumer.assignment())
            self._is_paused = False

    def commit(self, positions: Places) -> None:
        """Tell Kafka up to where all is stored.

        Raises:
            ServiceUnavailableError: it did not take it; what was stored is recognised later.

        """
        if not positions:
            return
        offsets = [TopicPartition(topic, number, at) for (topic, number), at in positions.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise errors.ServiceUnavailableError(f"Kafka took no commit: {error}.") from error

    def partitions(self) -> list[Partition]:
        """Return the partitions that are read now."""
        return sorted(self._positions)

    def lag(self) -> int | None:
        """Count the messages that wait in these partitions, None if not known yet."""
        lag = 0
        for partition, position in self._positions.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*partition), cached=True)
            if high < 0:
                return None
            lag += max(high - position, 0)
        return lag

    def close(self) -> None:
        """Leave the group; its partitions go to the others at once."""
        self._consumer.close()

    def _assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            starts = self._on_assigned(self._look_patiently_at(partitions))
        except BaseException as error:  # noqa: BLE001 - a callback of the library: raised by `take`
            self._failure = error
            return
        self._positions |= starts
        self._consumer.incremental_assign(
            [TopicPartition(topic, number, at) for (topic, number), at in starts.items()]
        )
        if self._is_paused:
            self._consumer.pause(self._consumer.assignment())

    def _look_patiently_at(self, partitions: list[TopicPartition]) -> dict[Partition, Found]:
        """Ask again for a while: the group's coordinator may be starting."""
        deadline = time.monotonic() + _LOOK_SECONDS
        while True:
            try:
                return self._look_at(partitions)
            except errors.ServiceUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_SECONDS)

    def _look_at(self, partitions: list[TopicPartition]) -> dict[Partition, Found]:
        try:
            committed = self._consumer.committed(partitions, timeout=_ASK_SECONDS)
            marks = {
                Partition(one.topic, one.partition): self._consumer.get_watermark_offsets(
                    one, timeout=_ASK_SECONDS
                )
                for one in partitions
            }
        except KafkaException as error:
            raise translated(error.args[0], ", ".join(self._topics)) from error
        self.topics.check()
        return {
            Partition(one.topic, one.partition): Found(
                topic_id=self.topics.ids[one.topic],
                committed=one.offset if one.offset >= 0 else None,
                low=marks[Partition(one.topic, one.partition)][0],
                high=marks[Partition(one.topic, one.partition)][1],
            )
            for one in committed
        }

    def _revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._leave(partitions, self._on_revoked)

    def _lose(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._leave(partitions, self._on_lost)

    def _leave(
        self, partitions: list[TopicPartition], tell: Callable[[Sequence[Partition]], None]
    ) -> None:
        left = [Partition(one.topic, one.partition) for one in partitions]
        try:
            tell(left)
        except BaseException as error:  # noqa: BLE001 - a callback of the library: raised by `take`
            self._failure = error
        for partition in left:
            self._positions.pop(partition, None)
        self._consumer.incremental_unassign(partitions)

    def _hear(self, error: KafkaError) -> None:
        """Take what the client says of its connections."""
        if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 - how the library names it
            self._refusal = error.str()
            self._refused_since = self._refused_since or time.monotonic()
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self.is_reachable = False
        elif error.fatal():
            self._failure = errors.ServiceUnavailableError(f"The consumer gave up: {error.str()}.")

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        since = self._refused_since
        if since is not None and time.monotonic() - since > _ACCESS_PATIENCE_SECONDS:
            raise stopped(
                Cause.ACCESS_REFUSED,
                f"Kafka refuses the tenant's login: {self._refusal}. The registrar sets it right "
                "within a minute if the tenant is live (mysimbdp tenant list).",
            )

    def _is_error(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return False
        if error.code() in _LOST_POSITION:
            self._explain_lost_position(message)
        if error.code() in ACCESS_CODES:
            raise translated(error, message.topic() or ", ".join(self._topics))
        _log.warning("Kafka: %s", error.str())
        return True

    def _explain_lost_position(self, message: Message) -> None:
        """Find out why the position to read at does not exist, and stop for it."""
        topic, number = _place(message)
        self.topics.check()
        raise stopped(
            Cause.TOPIC_TRUNCATED,
            f"Messages of {topic}, partition {number}, were deleted before they were "
            "read, or the topic lost its end. To go on with what there is: mysimbdp streams "
            "reset, then start.",
        )


def _place(message: Message) -> Partition:
    return Partition(cast("str", message.topic()), cast("int", message.partition()))
