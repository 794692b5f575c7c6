"""The topics of a stream app and their ids, which change when a topic is made again."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from mysimbdp import errors
from mysimbdp.messaging import Properties
from mysimbdp.streaming.causes import Cause, stopped

ACCESS_CODES = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    }
)
_NO_TOPIC_CODES = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}  # noqa: SLF001 - its name
)
_ASK_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Topics:
    """Topics by their names, and the ids that they had when they were first read. For any thread.

    Raises:
        StreamStoppedError: from both methods: a topic does not exist, or the login may not see it.
        ServiceUnavailableError: from both methods: Kafka does not answer.

    """

    def __init__(self, login: Properties, names: Sequence[str]) -> None:
        self._names = list(names)
        self._admin = AdminClient({**login, "client.id": "mysimbdp-topics"}, logger=_log)
        self.ids: dict[str, str] = {}

    def read(self) -> None:
        """Take the ids of now for those that are right."""
        self.ids = self._ask()

    def check(self) -> None:
        """Find out whether the topics are still those that were read.

        Raises:
            StreamStoppedError: another one has the name.

        """
        for topic, now in self._ask().items():
            before = self.ids.get(topic, now)
            if before != now:
                raise stopped(
                    Cause.TOPIC_RECREATED,
                    f"The topic {topic} was deleted and made again: expected the topic {before}, "
                    f"found {now}. To read it from its oldest message: mysimbdp streams reset, "
                    "then start.",
                )

    def _ask(self) -> dict[str, str]:
        asked = self._admin.describe_topics(
            TopicCollection(self._names), request_timeout=_ASK_SECONDS
        )
        ids = {}
        for topic, future in asked.items():
            try:
                ids[topic] = str(future.result().topic_id)
            except KafkaException as error:
                raise translated(error.args[0], topic) from error
        return ids


def translated(error: KafkaError, topic: str) -> errors.PlatformError:
    """Turn what Kafka says about a topic into an error of ours."""
    if error.code() in _NO_TOPIC_CODES:
        return stopped(
            Cause.TOPIC_MISSING,
            f"The topic {topic} does not exist. The registrar makes registered topics; if it was "
            "deleted, its unread messages are lost.",
        )
    if error.code() in ACCESS_CODES:
        return stopped(
            Cause.ACCESS_REFUSED,
            f"Kafka does not let this tenant read {topic}: {error.str()}. The registrar gives the "
            "right to registered topics (mysimbdp tenant list).",
        )
    return errors.ServiceUnavailableError(f"Kafka did not answer about {topic}: {error.str()}.")
