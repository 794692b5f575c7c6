"""Reports as MongoDB keeps them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import pymongo
from bson.codec_options import CodecOptions
from pymongo import errors as mongo_errors
from pymongo.database import Database

from mysimbdp import errors, naming
from mysimbdp.reporting import report

INGESTIONS_COLLECTION = "ingestions"

_PATIENCE_MILLISECONDS = 5_000
#: Codes of MongoDB for a login without the right to read, and for a wrong password.
_REFUSED_CODES = frozenset({13, 18})


@attrs.frozen
class ReportStore:
    """The reports in the platform's database."""

    database: Database[dict[str, Any]]

    def find(
        self, tenant: str | None = None, state: str | None = None, last: int | None = None
    ) -> tuple[report.IngestionReport, ...]:
        """Return the reports that match, newest last; `last` keeps only that many of the newest.

        Raises:
            ServiceUnavailableError: MongoDB does not answer.
            ConfigurationError: MongoDB refuses the login.

        """
        return tuple(map(report.from_document, self.documents(tenant, state, last)))

    def documents(
        self, tenant: str | None = None, state: str | None = None, last: int | None = None
    ) -> list[dict[str, Any]]:
        """Return the same as documents, with everything that was recorded."""
        wanted = {"tenant": tenant, "state": state}
        query = {key: value for key, value in wanted.items() if value is not None}
        aware = CodecOptions[dict[str, Any]](tz_aware=True)
        collection = self.database.get_collection(INGESTIONS_COLLECTION, codec_options=aware)
        newest_first = [("claimed_at", pymongo.DESCENDING), ("_id", pymongo.DESCENDING)]
        with _translated(self.database):
            return list(collection.find(query).sort(newest_first).limit(last or 0))[::-1]


@contextlib.contextmanager
def opened(url: str) -> Iterator[ReportStore]:
    """Open the store in the platform's database of a MongoDB."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        url, serverSelectionTimeoutMS=_PATIENCE_MILLISECONDS
    )
    with client:
        yield ReportStore(client[naming.PLATFORM_DATABASE])


@contextlib.contextmanager
def _translated(database: Database[Mapping[str, Any]] | Database[dict[str, Any]]) -> Iterator[None]:
    try:
        yield
    except mongo_errors.PyMongoError as error:
        servers = database.client.topology_description.server_descriptions()
        where = ", ".join(f"{host}:{port}" for host, port in sorted(servers))
        if isinstance(error, mongo_errors.OperationFailure) and error.code in _REFUSED_CODES:
            raise errors.ConfigurationError(
                f"MongoDB at {where} does not let this login read the reports; "
                "check the login in MONGO_URL or in the secrets.",
                servers=where,
            ) from error
        raise errors.ServiceUnavailableError(
            f"The reports cannot be read from MongoDB at {where} ({type(error).__name__}); "
            "see whether it runs (mysimbdp status).",
            servers=where,
        ) from error
