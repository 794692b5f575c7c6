"""The accounts of all apps as MongoDB keeps them: what alerting knows survives its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
import pymongo
from bson.codec_options import CodecOptions
from pymongo.collection import Collection
from pymongo.database import Database

from mysimbdp import errors, naming
from mysimbdp.sinks.drivers import translated
from mysimbdp.streaming.breaches import Account, Breach, Cause
from mysimbdp.streaming.report import Report

#: What a refused report may take here.
_SHOWN_BYTES = 4096
_KEPT_DAYS = 7
_SECONDS_PER_DAY = 24 * 60 * 60
_AWARE: CodecOptions[Any] = CodecOptions(tz_aware=True, tzinfo=UTC)

#: Tenant and app.
Key = tuple[str, str]


class TwoWritersError(errors.TransientError):
    """Another process keeps these accounts too; this one reads them anew."""


@attrs.frozen(kw_only=True)
class Kept:
    """An account, and how often it was written."""

    account: Account = attrs.field(factory=Account)
    version: int = 0


@attrs.frozen
class WindowStore:
    """Accounts, and the reports that were refused. Blocking."""

    platform: Database[Any]

    @property
    def accounts(self) -> Collection[Any]:
        """Hold one document per app that was ever heard of."""
        return self.platform.get_collection("stream_windows", codec_options=_AWARE)

    @property
    def refused(self) -> Collection[Any]:
        """Hold the messages that are no reports, for some days."""
        return self.platform.get_collection("refused_reports", codec_options=_AWARE)

    def ensure_indexes(self) -> None:
        """Let refused reports expire; harmless to repeat."""
        with translated("making the index of the refused reports"):
            self.refused.create_index([("at", 1)], expireAfterSeconds=_KEPT_DAYS * _SECONDS_PER_DAY)

    def load(self) -> dict[Key, Kept]:
        """Read all accounts."""
        with translated("reading what the stream apps reported"):
            return {(one["tenant"], one["app"]): _read(one) for one in self.accounts.find()}

    def save(self, changed: Mapping[Key, Kept]) -> dict[Key, Kept]:
        """Write accounts; return them as they are now.

        Raises:
            TwoWritersError: somebody else wrote one of them since it was read.

        """
        if not changed:
            return {}
        writes = [_write(key, kept) for key, kept in changed.items()]
        with translated("noting what the stream apps reported"):
            try:
                done = self.accounts.bulk_write(writes, ordered=False)
            except pymongo.errors.BulkWriteError as error:
                raise TwoWritersError from error
        if done.matched_count + done.upserted_count != len(writes):
            raise TwoWritersError
        return {key: attrs.evolve(kept, version=kept.version + 1) for key, kept in changed.items()}

    def forget(self, keys: Iterable[Key]) -> None:
        """Delete the accounts of apps that are not registered any more."""
        names = [naming.stream_app(*key) for key in keys]
        with translated("forgetting what unregistered stream apps reported"):
            self.accounts.delete_many({"_id": {"$in": names}})

    def refuse(self, messages: Iterable[tuple[str, int, int, bytes, str]], at: datetime) -> None:
        """Keep messages (topic, partition, offset, value) with the reason; again is harmless."""
        with translated("keeping refused reports"):
            self.refused.bulk_write(
                [
                    pymongo.UpdateOne(
                        {"_id": f"{topic}/{partition}/{offset}"},
                        {
                            "$setOnInsert": {
                                "topic": topic,
                                "value": value[:_SHOWN_BYTES],
                                "reason": reason,
                                "at": at,
                            }
                        },
                        upsert=True,
                    )
                    for topic, partition, offset, value, reason in messages
                ],
                ordered=False,
            )


def _write(key: Key, kept: Kept) -> pymongo.ReplaceOne[Any]:
    tenant, app = key
    reports = {
        name: msgspec.to_builtins(report, builtin_types=(datetime,))
        for name, report in kept.account.reports.items()
    }
    breaches = {
        cause.value: attrs.asdict(breach) for cause, breach in kept.account.breaches.items()
    }
    document = {"tenant": tenant, "app": app, "reports": reports, "breaches": breaches}
    return pymongo.ReplaceOne(
        {"_id": naming.stream_app(tenant, app), "version": kept.version},
        {**document, "version": kept.version + 1},
        upsert=kept.version == 0,
    )


def _read(document: Mapping[str, Any]) -> Kept:
    account = Account(
        reports={
            name: msgspec.convert(report, Report) for name, report in document["reports"].items()
        },
        breaches={Cause(name): Breach(**one) for name, one in document["breaches"].items()},
    )
    return Kept(account=account, version=document["version"])
