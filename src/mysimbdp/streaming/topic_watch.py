"""Make sure that messages are of the topic that is known, before they are stored.

A topic that is deleted and made again under a reader goes on at the same offset, with other
messages. Ids of topics never come back: if a look that began after a batch was taken finds the
known id, the batch is of the known topic.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from mysimbdp import errors
from mysimbdp.streaming.causes import Cause

#: Without messages, a look now and then; with them, no more often than this.
_IDLE_SECONDS = 5.0
_LEAST_SECONDS = 0.005
#: A broker that has just started may not know its topics yet.
_MISSING_SECONDS = 5.0
_PATIENCE_SECONDS = 10.0

_log = logging.getLogger(__name__)


class TopicWatch:
    """A thread that looks at the topics' ids, for the threads that store.

    Args:
        look: raises StreamStoppedError when a topic is missing or another one, or
            ServiceUnavailableError when Kafka does not answer.

    """

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._changed = threading.Condition()
        self._asked_for = float("-inf")
        self._confirmed = float("-inf")
        self._ended = False
        self._missing_since: float | None = None
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="topic-watch", daemon=True)
        self._thread.start()

    def confirm(self, taken_at: float) -> None:
        """Wait until a look that began after `taken_at` (monotonic) has found the known topics.

        Raises:
            ServiceUnavailableError: there was no such look in time; ask again.

        """
        with self._changed:
            self._asked_for = max(self._asked_for, taken_at)
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._confirmed >= taken_at, _PATIENCE_SECONDS):
                raise errors.ServiceUnavailableError("Kafka does not tell about the topics.")

    def end(self) -> None:
        """Look no more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while self._await_reason():
            began = time.monotonic()
            try:
                self._look()
            except errors.ServiceUnavailableError as error:
                _log.warning("%s", error)
            except errors.TerminalError as error:
                if self._is_certain(error, began):
                    self.failure = error
                    return
            except Exception as error:  # noqa: BLE001 - the main thread raises it
                self.failure = error
                return
            else:
                self._missing_since = None
                with self._changed:
                    self._confirmed = began
                    self._changed.notify_all()
            time.sleep(_LEAST_SECONDS)

    def _await_reason(self) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or self._asked_for > self._confirmed, _IDLE_SECONDS
            )
            return not self._ended

    def _is_certain(self, error: errors.TerminalError, now: float) -> bool:
        if error.facts.get("cause") is not Cause.TOPIC_MISSING:
            return True
        self._missing_since = self._missing_since or now
        return now - self._missing_since >= _MISSING_SECONDS
