"""What a tenant registers: which code ingests the files of which subdirectory."""

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


def _is_column(text: str) -> str:
    if text in {"", "_id"} or "\0" in text:
        raise ValueError(_COLUMN)
    return text


Collection = Annotated[
    str,
    Field(pattern=f"^{naming.COLLECTION_PATTERN}$", title=_COLLECTION),
    AfterValidator(_is_collection),
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


class Registration(Committed):
    """All pipelines of one tenant: `tenant_pipelines/<tenant>/pipelines.yaml`."""

    batch: Annotated[
        Annotated[
            dict[Annotated[str, AfterValidator(_is_subdirectory)], BatchPipeline],
            Field(min_length=1),
        ],
        Field(description="the subdirectories of the staging area, and the pipeline of each"),
    ]
