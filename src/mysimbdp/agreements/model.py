"""The service agreement of one tenant: what it may send, and how much of the platform it gets."""

from __future__ import annotations

import enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mysimbdp.agreements.quantity import Duration, Rate, Size

_PRIORITY = {"basic": 1, "standard": 10, "premium": 100}

Contact = Annotated[
    str,
    Field(
        pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$",
        max_length=254,
        title="an e-mail address such as ops@tenant1.example",
    ),
]


class FileType(enum.StrEnum):
    """A kind of file that the platform can read."""

    CSV = "CSV"
    JSON = "JSON"
    XML = "XML"


class Committed(BaseModel):
    """The base of everything read from a committed file: no unknown keys, no change afterwards.

    In the schema a `title` says what a value has to be, for the messages about wrong ones; a
    `description` says what it is for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConstraints(Committed):
    """What files the tenant may send."""

    file_types: Annotated[
        tuple[FileType, ...],
        Field(min_length=1, json_schema_extra={"uniqueItems": True}),
        Field(description="the file types that are accepted, such as [CSV, JSON]"),
    ]
    max_file_size: Annotated[Size, Field(description="the size that no file may exceed")]


class ServiceAgreement(Committed):
    """How much of the platform the tenant gets."""

    max_throughput: Annotated[
        Rate, Field(description="the speed at which all ingestions of the tenant together may read")
    ]
    max_concurrent_ingestions: Annotated[
        int,
        Field(ge=1, le=1024),
        Field(
            description="how many files of the tenant are ingested at the same time, a whole number from 1 to 1024"
        ),
    ]
    storage_space_staging: Annotated[
        Size, Field(description="the space for files that wait in the staging area")
    ]
    max_memory: Annotated[
        Size,
        Field(
            description="the memory of one ingestion; a callable or script that takes more is ended"
        ),
    ]
    on_concurrency_limit: Annotated[
        Literal["queue", "reject"],
        Field(
            description="what happens to a file above max_concurrent_ingestions: it waits, or it is rejected"
        ),
    ] = "queue"


class StreamLimits(Committed):
    """How much of the messaging system the tenant gets; without it, it has no streams."""

    max_publish_rate: Annotated[
        Rate, Field(description="the speed at which the tenant may send messages")
    ]
    max_consume_rate: Annotated[
        Rate, Field(description="the speed at which the tenant's stream apps may read messages")
    ]
    max_instances: Annotated[
        int,
        Field(ge=1, le=64),
        Field(
            description="how many instances of one stream app may run, a whole number from 1 to 64"
        ),
    ] = 2
    retention: Annotated[Duration, Field(description="how long messages are kept, read or not")] = (
        Duration("168h")
    )


class Objectives(Committed):
    """The service that is promised; a missed one is a breach, of which the contacts hear."""

    settled_within: Annotated[
        Duration | None,
        Field(description="the time from a file's arrival until it is loaded or rejected"),
    ] = None
    max_average_ingestion_time: Annotated[
        Duration | None,
        Field(description="the time from a message's production until it is stored, on average"),
    ] = None
    max_lag: Annotated[
        int | None,
        Field(ge=0),
        Field(description="how many messages may wait for one stream app, a whole number"),
    ] = None
    max_reject_ratio: Annotated[
        float | None,
        Field(ge=0, le=1),
        Field(description="the share of rejected messages in one window, from 0 to 1"),
    ] = None
    max_silence: Annotated[
        Duration | None,
        Field(description="how long a running stream app may be without a report"),
    ] = None
    on_breach: Annotated[
        Literal["nothing", "restart", "scale", "stop"],
        Field(
            description="what the platform does with a stream app in breach, beside telling: restart it, add an instance, or stop it"
        ),
    ] = "nothing"


class Agreement(Committed):
    """What one tenant and the provider agreed on: `constraints/<tenant>.yaml`."""

    data_constraints: DataConstraints
    service_agreement: ServiceAgreement
    streams: Annotated[
        StreamLimits | None, Field(description="the messaging system, for tenants with streams")
    ] = None
    objectives: Annotated[
        Objectives, Field(description="the promised service; by default nothing is promised")
    ] = Objectives()
    plan: Annotated[
        Literal["basic", "standard", "premium"],
        Field(
            description="the plan that is paid for; a higher one goes first where ingestions queue"
        ),
    ] = "standard"
    contacts: Annotated[
        tuple[Contact, ...],
        Field(min_length=1),
        Field(description="the e-mail addresses that hear of rejected files and missed service"),
    ]

    @property
    def priority(self) -> int:
        """Weigh the tenant's work against that of others, higher first."""
        return _PRIORITY[self.plan]
