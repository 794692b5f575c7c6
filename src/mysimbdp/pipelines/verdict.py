"""Judge how a child ended, and say it in one sentence with a named cause."""

from __future__ import annotations

import signal

import attrs

from mysimbdp import errors
from mysimbdp.pipelines.causes import Cause

#: Sent by an operator or by the kernel for want of memory: the tenant's code is not to blame.
_INTERRUPTIONS = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


@attrs.frozen(kw_only=True)
class Limits:
    """What a child may take: resident memory of all its processes, and time (None: no limit)."""

    memory_bytes: int
    timeout_seconds: float | None


def failed(cause: Cause, message: str) -> errors.IngestionFailedError:
    """Make the error of a failed ingestion, with its cause as a fact."""
    return errors.IngestionFailedError(message, cause=cause)


def known_cause(text: str) -> Cause:
    """Take a cause from the child, which may be lying: it cannot name one that does not exist."""
    try:
        return Cause(text)
    except ValueError:
        return Cause.BAD_OUTPUT


def check_end(exit_code: int, broken: Cause | None, limits: Limits, otherwise: Cause) -> None:
    """Raise for an end that is not a good one: a broken limit first, then a signal, then a code.

    Args:
        exit_code: as `subprocess` gives it, negative for a signal.
        broken: the limit that the watchdog saw broken.
        limits: what was agreed.
        otherwise: the cause to name for an exit code.

    Raises:
        IngestionFailedError: with `facts["cause"]`.
        IngestionInterruptedError: somebody else killed the child.

    """
    if broken is Cause.MEMORY:
        raise failed(
            broken,
            f"The code held more than {limits.memory_bytes // 2**20} MB of memory and was "
            "stopped. Hold less at once, or ask for more memory in the agreement.",
        )
    if broken is Cause.TIMEOUT:
        raise failed(
            broken,
            f"The code ran longer than {limits.timeout_seconds:g} s and was stopped. Make it "
            "faster, or register a longer timeout.",
        )
    if exit_code < 0:
        name = signal.Signals(-exit_code).name
        if -exit_code in _INTERRUPTIONS:
            raise errors.IngestionInterruptedError(
                f"The child process was ended by {name} from outside; the ingestion starts again.",
                cause=Cause.SIGNAL,
            )
        raise failed(Cause.SIGNAL, f"The code was ended by the signal {name}.")
    if exit_code > 0:
        raise failed(otherwise, f"The code ended with exit code {exit_code}; see the tenant's log.")
