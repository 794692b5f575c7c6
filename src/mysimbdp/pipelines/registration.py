"""What a tenant registers: which code ingests which files and which messages."""

from __future__ import annotations

import enum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from mysimbdp import naming
from mysimbdp.agreements.model import Agreement, Committed, FileType
from mysimbdp.agreements.quantity import Duration, Size

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_COLLECTION = "a collection name of letters, digits, - and _, not a reserved one"
_SUBDIRECTORY = "a subdirectory name of small letters, digits, - and _, not a reserved one"
_APP = "a name of small letters, digits, - and _ for the stream app"
_TOPIC = "a topic name of small letters, digits, - and _, without the tenant's prefix, not a reserved one"
_COLUMN = "a column name other than _id, which is the platform's, and not empty"


class ColumnType(enum.StrEnum):
    """The type that a column's values get."""

    STRING = "string"
    INT64 = "int64"
    FLOAT64 = "float64"
    BOOL = "bool"
    DATE = "date"
    TIMESTAMP = "timestamp"
    DECIMAL = "decimal"


def _is_collection(text: str) -> str:
    if not naming.is_collection(text):
        raise ValueError(_COLLECTION)
    return text


def _is_subdirectory(text: str) -> str:
    if not naming.is_subdirectory(text):
        raise ValueError(_SUBDIRECTORY)
    return text


def _is_app(text: str) -> str:
    if not naming.is_subdirectory(text):
        raise ValueError(_APP)
    return text


def _is_topic(text: str) -> str:
    if not naming.is_topic(text):
        raise ValueError(_TOPIC)
    return text


def _is_column(text: str) -> str:
    if text in {"", "_id"} or "\0" in text:
        raise ValueError(_COLUMN)
    return text


Collection = Annotated[
    str,
    Field(pattern=f"^{naming.COLLECTION_PATTERN}$", title=_COLLECTION),
    AfterValidator(_is_collection),
]
Topic = Annotated[
    str,
    Field(pattern=f"^{naming.TOPIC_PATTERN}$", title=_TOPIC),
    AfterValidator(_is_topic),
]
GroupName = Annotated[
    str,
    Field(pattern=f"^{naming.TOPIC_PATTERN}$", title="a name of small letters, digits, - and _"),
]
CallableName = Annotated[
    str,
    Field(
        pattern=rf"^{_NAME}(\.{_NAME})*:{_NAME}$",
        title="module:function, such as taxi:ingest",
    ),
]
ScriptName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\.py$",
        title="a file in the tenant's folder, such as taxi_script.py",
    ),
]
XmlName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", title="the name of an element, such as station"),
]


class Resources(Committed):
    """What one run of the code may take."""

    cpu: Annotated[
        int,
        Field(ge=1, le=1024),
        Field(description="the processors to plan for, a whole number from 1 to 1024"),
    ] = 1
    memory: Annotated[
        Size | None,
        Field(
            description="the memory of the process and its children; by default the agreement's max_memory"
        ),
    ] = None
    timeout: Annotated[
        Duration | None,
        Field(description="the time after which the run is ended; by default there is no limit"),
    ] = None


class BatchPipeline(Committed):
    """The code for the files of one subdirectory, and where their rows go."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["callable"]}, {"required": ["script"]}]}
    )

    callable: Annotated[
        CallableName | None,
        Field(description="the function that turns a batch of rows into the rows to store"),
    ] = None
    script: Annotated[
        ScriptName | None,
        Field(
            description="the file that is run with the path of the staged file, and writes by itself"
        ),
    ] = None
    collection: Annotated[Collection, Field(description="the collection that the rows go to")]
    batch: Annotated[
        Literal["arrow", "pandas", "records"],
        Field(
            description="what the function gets: a pyarrow.Table, a pandas.DataFrame or a list of dicts"
        ),
    ] = "arrow"
    formats: Annotated[
        Annotated[tuple[FileType, ...], Field(min_length=1)] | None,
        Field(
            description="the file types that the code reads; by default all that the agreement names"
        ),
    ] = None
    columns: Annotated[
        dict[Annotated[str, AfterValidator(_is_column)], ColumnType],
        Field(description="the types of columns that are not to be inferred"),
    ] = Field(default_factory=dict)
    missing: Annotated[
        tuple[str, ...],
        Field(description='the texts that mean "no value"; the field is then dropped'),
    ] = ("",)
    xml_row: Annotated[XmlName | None, Field(description="the XML element that is one row")] = None
    max_reject_ratio: Annotated[
        float,
        Field(ge=0, le=1),
        Field(
            description="the share of rows that may be rejected before the file fails, from 0 to 1"
        ),
    ] = 0.0
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _has_one_entry(self) -> Self:
        if (self.callable is None) == (self.script is None):
            raise ValueError("exactly one of callable and script")
        return self

    def accepted_formats(self, agreement: Agreement) -> tuple[FileType, ...]:
        """Name the file types that this subdirectory takes."""
        return self.formats or agreement.data_constraints.file_types

    def memory_bytes(self, agreement: Agreement) -> int:
        """Say how much memory one run may take."""
        return (self.resources.memory or agreement.service_agreement.max_memory).bytes


class Target(Committed):
    """A collection that a stream app writes to."""

    key: Annotated[
        Annotated[str, AfterValidator(_is_column)] | None,
        Field(
            description="the field that names a document; a later one of the same name replaces it"
        ),
    ] = None


class StreamApp(Committed):
    """The code for the messages of some topics, and where its documents go."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["callable"]}, {"required": ["script"]}]}
    )

    topics: Annotated[
        Annotated[tuple[Topic, ...], Field(min_length=1)],
        Field(description="the tenant's topics that are read"),
    ]
    callable: Annotated[
        CallableName | None,
        Field(description="the function that turns a batch of messages into documents"),
    ] = None
    script: Annotated[
        ScriptName | None,
        Field(description="the file that is run for each instance, and reads and writes by itself"),
    ] = None
    arguments: Annotated[
        tuple[str, ...], Field(description="what a script gets on its command line")
    ] = ()
    batch: Annotated[
        Literal["records", "arrow", "lines", "messages"],
        Field(
            description="what the function gets: dicts or a pyarrow.Table of JSON objects, texts, or sdk.Message values"
        ),
    ] = "records"
    collections: Annotated[
        dict[Collection, Target],
        Field(description="the collections that the documents go to"),
    ] = Field(default_factory=dict)
    sink: Annotated[
        Literal["coredms", "files"],
        Field(description="where documents are stored: in the tenant's database, or in JSON files"),
    ] = "coredms"
    instances: Annotated[
        int,
        Field(ge=1, le=64),
        Field(description="how many processes share the topics, a whole number from 1 to 64"),
    ] = 1
    group: Annotated[
        GroupName | None,
        Field(description="the consumer group; by default the name of the app"),
    ] = None
    window: Annotated[Duration, Field(description="the time that each report covers")] = Duration(
        "10s"
    )
    max_batch_messages: Annotated[
        int,
        Field(ge=1, le=100_000),
        Field(description="how many messages the function gets at once at most"),
    ] = 10_000
    max_reject_ratio: Annotated[
        float,
        Field(ge=0, le=1),
        Field(
            description="the share of the latest 1,000 messages that may be rejected before the app stops, from 0 to 1"
        ),
    ] = 0.1
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _has_one_entry(self) -> Self:
        if (self.callable is None) == (self.script is None):
            raise ValueError("exactly one of callable and script")
        if self.callable is not None and not self.collections:
            raise ValueError("collections, where a callable's documents go")
        return self

    def memory_bytes(self, agreement: Agreement) -> int:
        """Say how much memory one instance's code may take."""
        return (self.resources.memory or agreement.service_agreement.max_memory).bytes


class TopicLayout(Committed):
    """One topic of the tenant."""

    partitions: Annotated[
        int,
        Field(ge=1, le=64),
        Field(
            description="how many instances can read it side by side, a whole number from 1 to 64; it can only grow"
        ),
    ] = 1


class Registration(Committed):
    """All pipelines of one tenant: `tenant_pipelines/<tenant>/pipelines.yaml`."""

    batch: Annotated[
        dict[Annotated[str, AfterValidator(_is_subdirectory)], BatchPipeline],
        Field(description="the subdirectories of the staging area, and the pipeline of each"),
    ] = Field(default_factory=dict)
    topics: Annotated[
        dict[Topic, TopicLayout],
        Field(description="the tenant's topics in the messaging system"),
    ] = Field(default_factory=dict)
    streams: Annotated[
        dict[Annotated[str, AfterValidator(_is_app)], StreamApp],
        Field(description="the stream apps, and the topics and code of each"),
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_pipeline(self) -> Self:
        if not self.batch and not self.streams:
            raise ValueError("a pipeline under batch or under streams")
        return self
