import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from mysimbdp import errors
from mysimbdp.orchestration import retry


def decide(error):
    return retry.transient_only()["retry_policy"].evaluate(error, try_number=1, max_tries=3).action


@pytest.mark.parametrize(
    "error",
    [
        errors.ServiceUnavailableError(),
        errors.StagingError(),
        errors.IngestionInterruptedError(),
        ConnectionResetError(),
        TimeoutError(),
        AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR)),
    ],
)
def test_what_may_go_away_by_itself_is_tried_again(error):
    assert decide(error) is RetryAction.RETRY


@pytest.mark.parametrize(
    "error",
    [errors.IngestionFailedError(), errors.TenantStoppedError(), ValueError(), KeyError("x")],
)
def test_what_a_retry_does_not_cure_fails_at_once(error):
    assert decide(error) is RetryAction.FAIL


def test_a_killed_worker_is_made_up_for_by_a_retry():
    # The scheduler counts a lost heartbeat against the retries; it never asks the policy.
    assert retry.transient_only()["retries"] == 8
