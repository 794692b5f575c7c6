"""Which failures of a task are worth another attempt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
from airflow.sdk.exceptions import AirflowRuntimeError

from mysimbdp import errors

#: Five minutes of retries: a server may take that long to come back.
_RETRIES = 8
_FIRST_DELAY = timedelta(seconds=5)
_LONGEST_DELAY = timedelta(minutes=1)
_GROWTH = 2.0
#: Ours, the operating system's, and what Airflow's own API answers a task when it is in trouble.
_TRANSIENT = (errors.TransientError, ConnectionError, TimeoutError, AirflowRuntimeError)


def transient_only() -> dict[str, Any]:
    """Return the task arguments that retry what may go away by itself, and nothing else.

    The policy decides in the task process. A task whose process was killed never gets there: the
    scheduler misses its heartbeat and counts it as one of the retries too.
    """
    return {
        "retries": _RETRIES,
        "retry_delay": _FIRST_DELAY,
        "retry_exponential_backoff": _GROWTH,
        "max_retry_delay": _LONGEST_DELAY,
        "retry_policy": ExceptionRetryPolicy(
            rules=[
                RetryRule(
                    exception=[*_TRANSIENT],
                    action=RetryAction.RETRY,
                    reason="this may work again in a moment",
                )
            ],
            default=RetryAction.FAIL,
        ),
    }
