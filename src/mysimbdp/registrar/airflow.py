"""Ask Airflow's REST API, as its user `registrar`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from mysimbdp import errors, naming
from mysimbdp.registrar import airflow_plan, airflow_state
from mysimbdp.secrets import SecretStore
from mysimbdp.settings import Settings

LOGIN = "registrar"
#: The files whose DAGs follow the registry.
DAG_FILES = frozenset({"batch_ingestion.py", "stream_ingestion.py"})

_TIMEOUT_SECONDS = 30.0
#: The API server gives no more than its maximum_page_limit (100 if not configured).
_PAGE_SIZE = 1000
_DAGS_PATH = "/api/v2/dags"


class AirflowRefusedError(errors.TerminalError):
    """Airflow refuses a request of the registrar."""


class Airflow:
    """One Airflow, by its REST API."""

    def __init__(self, settings: Settings, secrets: SecretStore) -> None:
        self._url = settings.airflow_url
        self._secrets = secrets
        self._client = httpx.Client(base_url=self._url, timeout=_TIMEOUT_SECONDS)
        self._file_tokens: dict[str, str] = {}

    def observe(self) -> airflow_state.State:
        """Read all pools, roles, users and connections.

        Raises:
            ServiceUnavailableError: the API server does not answer, or not yet to this login.

        """
        pools = self._pages(airflow_plan.POOLS_PATH, "pools")
        roles = self._pages(airflow_plan.ROLES_PATH, "roles")
        users = self._pages(airflow_plan.USERS_PATH, "users")
        connections = self._pages(airflow_plan.CONNECTIONS_PATH, "connections")
        return airflow_state.State(
            pools={pool["name"]: pool for pool in pools},
            roles={role["name"]: _permissions(role) for role in roles},
            users={user["username"]: _role_names(user) for user in users},
            connections={one["connection_id"]: one for one in connections},
        )

    def send(self, request: airflow_plan.Request) -> None:
        """Carry out one change; one that somebody else just made counts as done.

        Raises:
            ServiceUnavailableError: the API server does not answer.
            AirflowRefusedError: it does not accept the change.

        """
        answer = self._ask(request.method, request.path, json=request.body)
        is_done = request.method == "DELETE" and answer.status_code == httpx.codes.NOT_FOUND
        if answer.is_error and not is_done:
            raise _refusal(request.method, request.path, answer)

    def has_dags(self, tenant: str) -> bool:
        """Tell whether the DAG processor still finds DAGs of a tenant."""
        query = {"dag_id_prefix_pattern": naming.dag_id(tenant, ""), "limit": 1}
        return bool(self._read(_DAGS_PATH, query)["total_entries"])

    def reparse(self) -> bool:
        """Have the DAG files parsed at once.

        Returns:
            False while Airflow knows no DAG of some file: it will find the first ones by itself.

        """
        if self._file_tokens.keys() < DAG_FILES:
            self._file_tokens = self._find_file_tokens()
        parsed = [self._parse(file) for file in sorted(DAG_FILES)]
        return all(parsed)

    def _parse(self, file: str) -> bool:
        token = self._file_tokens.get(file)
        if token is None:
            return False
        answer = self._ask("PUT", f"/api/v2/parseDagFile/{token}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            del self._file_tokens[file]
            return False
        # A conflict means that the same request already waits.
        if answer.is_error and answer.status_code != httpx.codes.CONFLICT:
            raise _refusal("PUT", "/api/v2/parseDagFile", answer)
        return True

    def _find_file_tokens(self) -> dict[str, str]:
        dags = self._pages(_DAGS_PATH, "dags", {"exclude_stale": False})
        return {
            str(dag["relative_fileloc"]): str(dag["file_token"])
            for dag in dags
            if dag.get("relative_fileloc") in DAG_FILES
        }

    def _pages(
        self, path: str, key: str, query: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        found, total = 0, 1
        while found < total:
            page = self._read(path, {"limit": _PAGE_SIZE, "offset": found, **(query or {})})
            if not page[key]:
                return
            yield from page[key]
            found, total = found + len(page[key]), page["total_entries"]

    def _read(self, path: str, query: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._ask("GET", path, params=query)
        if answer.is_error:
            raise _refusal("GET", path, answer)
        body: dict[str, Any] = answer.json()
        return body

    def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        if "Authorization" not in self._client.headers:
            self._log_in()
        answer = self._request(method, path, **content)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._log_in()
            answer = self._request(method, path, **content)
        if answer.is_server_error:
            raise errors.ServiceUnavailableError(
                f"Airflow at {self._url} fails with status {answer.status_code} on {method} "
                f"{path}; see the log of its API server."
            )
        return answer

    def _log_in(self) -> None:
        self._client.headers.pop("Authorization", None)
        login = {"username": LOGIN, "password": self._secrets.read(f"airflow/{LOGIN}")}
        answer = self._request("POST", "/auth/token", json=login)
        if answer.is_error:
            # At the first start the stack makes this user a moment after the API server is up.
            raise errors.ServiceUnavailableError(
                f"Airflow at {self._url} refuses the login of its user {LOGIN} "
                f"(status {answer.status_code}); expected an Admin with the password in the "
                f"secret airflow/{LOGIN}."
            )
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **content)
        except httpx.TransportError as error:
            raise errors.ServiceUnavailableError(
                f"Airflow at {self._url} does not answer ({type(error).__name__}); "
                "see whether its API server runs (mysimbdp status)."
            ) from error


def _permissions(role: Mapping[str, Any]) -> frozenset[airflow_state.Permission]:
    return frozenset((one["action"]["name"], one["resource"]["name"]) for one in role["actions"])


def _role_names(user: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(role["name"] for role in user["roles"] or ())


def _refusal(method: str, path: str, answer: httpx.Response) -> AirflowRefusedError:
    return AirflowRefusedError(
        f"Airflow refuses {method} {path} with status {answer.status_code}: {_reason(answer)}",
        status=answer.status_code,
    )


def _reason(answer: httpx.Response) -> str:
    try:
        detail = answer.json().get("detail")
    except ValueError:
        return "no reason given"
    if not isinstance(detail, list):
        return str(detail)
    # A validation report repeats the request, with its password; only these two keys are safe.
    return "; ".join(f"{item.get('loc')}: {item.get('msg')}" for item in detail)
