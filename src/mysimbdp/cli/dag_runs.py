"""Runs of DAGs over Airflow's REST API, with a person's login: the provider's or a tenant's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from mysimbdp import errors
from mysimbdp import settings as deployment
from mysimbdp.secrets import SecretStore

ADMIN = "admin"
_TIMEOUT_SECONDS = 30.0
_LOOK_SECONDS = 1.0
_ENDED = frozenset({"success", "failed"})


class AirflowRefusedError(errors.TerminalError):
    """Airflow refuses a request."""


def is_remote() -> bool:
    """Tell whether the caller has only a login in Airflow, and none of the platform's secrets."""
    return "AIRFLOW_USERNAME" in os.environ


class DagRuns:
    """The runs of DAGs that a login may see and start."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self._url = url
        self._login = {"username": username, "password": password}
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS)

    def is_paused(self, dag_id: str) -> bool:
        """Tell whether no new run of a DAG would get on."""
        return bool(self._ask("GET", f"/api/v2/dags/{dag_id}")["is_paused"])

    def start(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a run with a filled-in form; return its id."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def state(self, dag_id: str, run_id: str) -> str:
        """Tell how a run stands: queued, running, success or failed."""
        return str(self._ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_state(self, dag_id: str, run_id: str, task_id: str) -> str | None:
        """Tell how a task of a run stands."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        state: str | None = self._ask("GET", path)["state"]
        return state

    def page(self, dag_id: str, run_id: str) -> str:
        """Name the page that shows a run."""
        return f"{self._url}/dags/{dag_id}/runs/{run_id}"

    def wait(
        self, dag_id: str, run_id: str, is_enough: Callable[[], bool], patience_seconds: float
    ) -> None:
        """Wait until a run has succeeded, or until that is enough.

        Raises:
            AirflowRefusedError: the run failed, or it takes too long.

        """
        deadline = time.monotonic() + patience_seconds
        while (state := self.state(dag_id, run_id)) not in _ENDED and not is_enough():
            if time.monotonic() > deadline:
                raise AirflowRefusedError(
                    f"The run {run_id} of {dag_id} is still {state} after {patience_seconds:.0f} s;"
                    f" it goes on. See {self.page(dag_id, run_id)}"
                )
            time.sleep(_LOOK_SECONDS)
        if state == "failed":
            raise AirflowRefusedError(
                f"The run {run_id} of {dag_id} failed; the log of its task says why: "
                f"{self.page(dag_id, run_id)}"
            )

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if "Authorization" not in self._client.headers:
            answer = self._request("POST", "/auth/token", self._login)
            self._client.headers["Authorization"] = f"Bearer {answer['access_token']}"
        return self._request(method, path, body)

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.TransportError as error:
            raise errors.ServiceUnavailableError(
                f"Airflow at {self._url} does not answer ({type(error).__name__}); "
                "see whether its API server runs (mysimbdp status)."
            ) from error
        if answer.is_error:
            raise self._refusal(method, path, answer)
        found: dict[str, Any] = answer.json()
        return found

    def _refusal(self, method: str, path: str, answer: httpx.Response) -> AirflowRefusedError:
        who = self._login["username"]
        reason = {
            httpx.codes.UNAUTHORIZED: f"the login of {who} is wrong",
            httpx.codes.FORBIDDEN: f"{who} may not do this",
            httpx.codes.NOT_FOUND: f"it does not exist, not yet, or not for {who}",
        }.get(httpx.codes(answer.status_code), f"status {answer.status_code}{_detail(answer)}")
        return AirflowRefusedError(f"Airflow refuses {method} {path}: {reason}.")


def _detail(answer: httpx.Response) -> str:
    """Repeat what Airflow says about a form; a report of its own checks repeats the request."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f", {' '.join(detail.split())}" if isinstance(detail, str) else ""


def open_dag_runs() -> DagRuns:
    """Log in as AIRFLOW_USERNAME with AIRFLOW_PASSWORD, else as the provider's admin.

    Raises:
        SecretMissingError: neither is possible.
        ConfigurationError: AIRFLOW_URL is not set and there is no platform tree either.

    """
    if is_remote() and "AIRFLOW_URL" in os.environ:
        url = os.environ["AIRFLOW_URL"].rstrip("/")
    else:
        url = deployment.from_environment().airflow_url
    if is_remote():
        return DagRuns(url, os.environ["AIRFLOW_USERNAME"], os.environ.get("AIRFLOW_PASSWORD", ""))
    secrets = SecretStore(deployment.from_environment().secrets)
    return DagRuns(url, ADMIN, secrets.read(f"airflow/{ADMIN}"))
