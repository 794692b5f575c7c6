"""Why a stream app stopped by itself; the causes of a child's end are those of a batch run."""

from __future__ import annotations

from enum import StrEnum

from mysimbdp import errors


class Cause(StrEnum):
    """The named cause in the app's state, its log and the alert."""

    #: A topic was deleted and made again: its offsets mean other messages now.
    TOPIC_RECREATED = "topic_recreated"
    #: Messages were deleted before they were read, by retention or by hand.
    TOPIC_TRUNCATED = "topic_truncated"
    #: A registered topic does not exist.
    TOPIC_MISSING = "topic_missing"
    #: Kafka or MongoDB refuses the tenant's login.
    ACCESS_REFUSED = "access_refused"
    #: More messages were rejected than registered as tolerable.
    TOO_MANY_REJECTS = "too_many_rejects"
    #: An instance ended too often in a short time.
    RESTART_LIMIT = "restart_limit"
    #: The tenant was withdrawn, or its files have problems.
    TENANT_STOPPED = "tenant_stopped"
    #: The tenant's code: as in a batch run.
    MEMORY = "memory"
    TIMEOUT = "timeout"
    CRASH = "crash"
    SIGNAL = "signal"
    BAD_OUTPUT = "bad_output"
    NOT_LOADABLE = "not_loadable"
    SCRIPT_ERROR = "script_error"


class StreamStoppedError(errors.TerminalError):
    """The stream app stops for a cause that a restart does not cure."""


def stopped(cause: Cause, message: str) -> StreamStoppedError:
    """Make the error of an app that stops by itself, with its cause as a fact."""
    return StreamStoppedError(message, cause=cause)
