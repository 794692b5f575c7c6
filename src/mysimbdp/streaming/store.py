"""What each stream app shall do and what it does: the collection `streams` of the platform.

The wish is its own: neither a paused DAG nor a restarted triggerer changes it. Whoever supervises
an app takes it over first, which raises its epoch; an older supervisor finds that out at its next
beat, and ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import pymongo
from bson.codec_options import CodecOptions
from pymongo.collection import Collection
from pymongo.database import Database

from mysimbdp import naming
from mysimbdp.sinks.drivers import translated

RUNNING = "running"
STOPPED = "stopped"

_AWARE: CodecOptions[Any] = CodecOptions(tz_aware=True, tzinfo=UTC)


@attrs.frozen(kw_only=True)
class Wish:
    """What an app shall do.

    Attributes:
        state: `running` or `stopped`.
        by: who said so: a person's login, `alerting`, or `registrar`.
        restarts: grows when the app shall start its instances anew.

    """

    state: str = STOPPED
    instances: int = 1
    arguments: tuple[str, ...] = ()
    by: str = ""
    at: datetime | None = None
    restarts: int = 0

    @property
    def runs(self) -> bool:
        """Tell whether it shall run."""
        return self.state == RUNNING


@attrs.frozen
class StreamStore:
    """Wishes and states of all stream apps. Blocking; runs anywhere but in an event loop."""

    platform: Database[Any]

    @property
    def apps(self) -> Collection[Any]:
        """Hold one document per app that was ever asked for."""
        return self.platform.get_collection("streams", codec_options=_AWARE)

    def want(self, tenant: str, app: str, *, by: str, **wish: Any) -> Wish:
        """Change what an app shall do (`state`, `instances`, `arguments`); the rest stays."""
        with translated(f"noting what {naming.stream_app(tenant, app)} shall do"):
            changed = {f"wish.{key}": value for key, value in wish.items()}
            document = self.apps.find_one_and_update(
                {"_id": naming.stream_app(tenant, app)},
                {
                    "$set": {
                        "tenant": tenant,
                        "app": app,
                        **changed,
                        "wish.by": by,
                        "wish.at": datetime.now(UTC),
                    }
                },
                upsert=True,
                return_document=pymongo.ReturnDocument.AFTER,
            )
        return _wish(document)

    def restart(self, tenant: str, app: str, *, by: str) -> None:
        """Ask for a start of all instances anew; a stopped app stays stopped."""
        with translated(f"restarting {naming.stream_app(tenant, app)}"):
            self.apps.update_one(
                {"_id": naming.stream_app(tenant, app)},
                {
                    "$inc": {"wish.restarts": 1},
                    "$set": {"wish.by": by, "wish.at": datetime.now(UTC)},
                },
            )

    def wish(self, tenant: str, app: str) -> Wish:
        """Tell what an app shall do; one that nobody asked for shall be stopped."""
        return _wish(self.read(tenant, app))

    def read(self, tenant: str, app: str) -> dict[str, Any]:
        """Return an app's document, empty if nobody ever asked for it."""
        with translated(f"reading the state of {naming.stream_app(tenant, app)}"):
            return self.apps.find_one({"_id": naming.stream_app(tenant, app)}) or {}

    def read_all(self, tenant: str | None = None) -> list[dict[str, Any]]:
        """Return the documents of all apps, or of one tenant's."""
        with translated("reading the states of the stream apps"):
            return list(self.apps.find({"tenant": tenant} if tenant else {}).sort("_id"))

    def take_over(self, tenant: str, app: str, run_id: str) -> int:
        """Become the one supervisor of an app; return the epoch of this reign."""
        with translated(f"taking over {naming.stream_app(tenant, app)}"):
            document: Any = self.apps.find_one_and_update(
                {"_id": naming.stream_app(tenant, app)},
                {
                    "$inc": {"epoch": 1},
                    "$set": {"tenant": tenant, "app": app, "run_id": run_id},
                },
                upsert=True,
                return_document=pymongo.ReturnDocument.AFTER,
            )
        return int(document["epoch"])

    def beat(
        self,
        tenant: str,
        app: str,
        epoch: int,
        state: str,
        instances: Sequence[Mapping[str, Any]],
        **facts: Any,
    ) -> Wish | None:
        """Note how an app stands and learn what it shall do; None when another one reigns."""
        with translated(f"noting the state of {naming.stream_app(tenant, app)}"):
            document = self.apps.find_one_and_update(
                {"_id": naming.stream_app(tenant, app), "epoch": epoch},
                {
                    "$set": {
                        "state": state,
                        "instances": list(instances),
                        "beat_at": datetime.now(UTC),
                        **facts,
                    }
                },
                return_document=pymongo.ReturnDocument.AFTER,
            )
        return None if document is None else _wish(document)


def _wish(document: Mapping[str, Any] | None) -> Wish:
    kept = (document or {}).get("wish", {})
    return Wish(**kept | {"arguments": tuple(kept.get("arguments", ()))})
