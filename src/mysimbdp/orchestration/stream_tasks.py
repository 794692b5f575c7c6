"""The one task of a stream app's run: start, stop, scale or restart the app.

Bodies import what they need: this file is parsed again and again, and before every task.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator, Context

from mysimbdp import errors, naming

if TYPE_CHECKING:
    from mysimbdp.streaming.request import Request
    from mysimbdp.streaming.store import StreamStore

TASK_ID = "stream"
#: Who stops an app that failed.
PLATFORM = "platform"
_UNDER_WAY = ["queued", "running"]


class StreamOperator(BaseOperator):
    """Do to a stream app what the form of the run asks for.

    A start defers: the app is supervised in the triggerer, and the task is over when the app is.
    The other actions change what the app shall do and wait until it is so.
    """

    def __init__(self, *, tenant: str, app: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tenant = tenant
        self.app = app

    def execute(self, context: Context) -> None:
        """Carry out the action. Runs in a worker.

        Raises:
            UsageError: it goes beyond the agreement or the registration.
            TenantStoppedError: the tenant's files have problems; only a stop is possible.

        """
        from mysimbdp import registry, settings
        from mysimbdp.orchestration import connections
        from mysimbdp.streaming import change, request

        asked = request.read(self.tenant, self.app, dict(context["params"]))
        with connections.open_streams() as streams:
            if asked.action is request.Action.STOP:
                self.log.info("%s", change.carry_out(streams, asked, asked_by(context)))
                return
            places = settings.from_environment()
            registered, app = registry.find_stream(places.registry, self.tenant, self.app)
            request.check(asked, registered, app)
            if asked.action is request.Action.START:
                self._start(asked, request.start_wish(asked, app), streams, context)
            else:
                self.log.info("%s", change.carry_out(streams, asked, asked_by(context)))

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> None:
        """Go on when the supervision has ended. Runs in a worker.

        Raises:
            IngestionFailedError: the app could not go on.

        """
        from mysimbdp.streaming import change
        from mysimbdp.streaming.supervisor import End

        if event["end"] == End.LEASE:
            self._defer(context)
        if event["end"] == End.FAILED:
            self._give_up(event)
        if event["end"] == End.STOPPED:
            figures = {key: event[key] for key in ("total", "rejected", "last_message_at", "kills")}
            name = naming.stream_app(self.tenant, self.app)
            self.log.info("%s", change.stop_sentence(name, **figures))
        else:
            self.log.info("Another run has taken the app over; this one is done.")

    def _start(
        self, asked: Request, wish: Mapping[str, Any], streams: StreamStore, context: Context
    ) -> None:
        if other := self._other_run(streams, context):
            self.log.info("%s runs already, by the run %s; nothing was changed.", asked.name, other)
            return
        streams.want(self.tenant, self.app, by=asked_by(context), **wish)
        self.log.info("%s starts with %d instance(s).", asked.name, wish["instances"])
        self._defer(context)

    def _other_run(self, streams: StreamStore, context: Context) -> str | None:
        """Name the other run that has the app under way, if there is one."""
        from mysimbdp.streaming import change

        now = change.look(streams, self.tenant, self.app)
        if not now.is_supervised or now.run_id is None or now.run_id == context["run_id"]:
            return None
        count = context["ti"].get_dr_count(
            context["dag"].dag_id, run_ids=[now.run_id], states=_UNDER_WAY
        )
        return now.run_id if count else None

    def _defer(self, context: Context) -> NoReturn:
        from mysimbdp.orchestration.stream_trigger import StreamTrigger

        trigger = StreamTrigger(self.tenant, self.app, context["run_id"])
        self.defer(trigger=trigger, method_name="execute_complete")

    def _give_up(self, event: Mapping[str, Any]) -> NoReturn:
        from mysimbdp.orchestration import connections
        from mysimbdp.streaming import change, store

        with connections.open_streams() as streams:
            # Somebody may have started it again meanwhile: then another epoch has begun.
            if streams.read(self.tenant, self.app).get("epoch") == event.get("epoch"):
                streams.want(self.tenant, self.app, by=PLATFORM, state=store.STOPPED)
        name, cause = naming.stream_app(self.tenant, self.app), event["cause"]
        sentence = change.failure_sentence(name, cause, event["error"])
        raise errors.IngestionFailedError(
            f"{sentence} It stays stopped until somebody starts it.", cause=cause
        )


def asked_by(context: Context) -> str:
    """Name who asked for a run: a person's login, or the run itself."""
    return context["dag_run"].triggering_user_name or context["run_id"]
