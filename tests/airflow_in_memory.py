"""An Airflow that keeps what it is asked for, and breaks off where a test wants it to."""

import json

import attrs

from mysimbdp.registrar import airflow_plan, airflow_state

PATHS = {
    airflow_plan.POOLS_PATH: ("pools", "name"),
    airflow_plan.CONNECTIONS_PATH: ("connections", "connection_id"),
    airflow_plan.ROLES_PATH: ("roles", "name"),
    airflow_plan.USERS_PATH: ("users", "username"),
}


class BrokenOffError(Exception):
    """The process was killed here."""


@attrs.define
class AirflowInMemory:
    """Behaves as `mysimbdp.registrar.airflow.Airflow`."""

    kept: dict = attrs.field(
        factory=lambda: {kind: {} for kind in ("pools", "connections", "roles", "users")}
    )
    passwords: dict = attrs.field(factory=dict)
    dags: set = attrs.field(factory=set)
    parses: int = 0
    breaks_after: int | None = None

    def observe(self):
        return airflow_state.State(**{kind: dict(named) for kind, named in self.kept.items()})

    def send(self, request):
        if self.breaks_after == 0:
            raise BrokenOffError
        if self.breaks_after is not None:
            self.breaks_after -= 1
        collection, _, name = request.path.rpartition("/")
        if request.method == "POST":
            kind, key = PATHS[request.path]
            name = request.body[key]
            assert name not in self.kept[kind]
        else:
            kind, key = PATHS[collection]
            assert name in self.kept[kind]
        if request.method == "DELETE":
            del self.kept[kind][name]
            return
        self._keep(kind, name, request.body)

    def _keep(self, kind, name, body):
        if kind == "roles":
            pairs = ((one["action"]["name"], one["resource"]["name"]) for one in body["actions"])
            self.kept[kind][name] = frozenset(pairs)
        elif kind == "users":
            if "password" in body:
                self.passwords[name] = body["password"]
            if "roles" in body:
                roles = frozenset(role["name"] for role in body["roles"])
                assert roles <= self.kept["roles"].keys()
                self.kept[kind][name] = roles
        else:
            self.kept[kind][name] = self.kept[kind].get(name, {}) | _hide(body)

    def has_dags(self, tenant):
        return tenant in self.dags

    def reparse(self):
        self.parses += 1
        return True


def _hide(body):
    """Show a connection as Airflow does."""
    hidden = {"password": "***"} if "password" in body else {}
    if "extra" in body:
        extra = json.loads(body["extra"])
        shown = {key: "***" if "password" in key else value for key, value in extra.items()}
        hidden["extra"] = json.dumps(shown)
    return body | hidden
