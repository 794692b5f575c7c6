"""Does a registration fit the tenant's agreement and code? Reads files, never runs them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from mysimbdp.agreements import load
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement, FileType
from mysimbdp.pipelines import source
from mysimbdp.pipelines.registration import BatchPipeline, Registration

#: What the platform does for a callable; a script reads and writes by itself.
_CALLABLE_ONLY = ("batch", "columns", "missing", "xml_row")


def read(
    path: Path, file: str, agreement: Agreement | None
) -> tuple[Registration | None, tuple[Problem, ...]]:
    """Read a tenant's `pipelines.yaml` and check it against its agreement and the code beside it.

    With no agreement, only what needs none is checked. The value is None if there is any problem.
    """
    value, data, problems = load.read(Registration, path, file)
    misfits = []
    for subdirectory, pipeline in value.batch.items() if value else _sound_pipelines(data):
        for key, expected, found in _misfits(pipeline, path.parent, agreement):
            place = f"batch.{subdirectory}.{key}"
            misfits.append(Problem(file=file, key=place, expected=expected, found=found))
    return (None if misfits else value), (*problems, *misfits)


def _sound_pipelines(data: Any) -> Iterator[tuple[str, BatchPipeline]]:
    """Yield what can be checked further, without the keys that are wrong already.

    So one wrong key does not hide that another one names a missing file.
    """
    entries = data.get("batch") if isinstance(data, dict) else None
    for subdirectory, entry in (entries if isinstance(entries, dict) else {}).items():
        if not isinstance(entry, dict):
            continue
        _, problems = load.validate(BatchPipeline, entry, "")
        wrong = {problem.key.partition(".")[0].partition("[")[0] for problem in problems}
        kept = {key: value for key, value in entry.items() if key not in wrong}
        try:
            yield subdirectory, BatchPipeline.model_validate({"collection": "any", **kept})
        except pydantic.ValidationError:
            continue


def _misfits(
    pipeline: BatchPipeline, folder: Path, agreement: Agreement | None
) -> Iterator[tuple[str, str, str]]:
    """Yield key, what is expected and what is found."""
    if pipeline.callable is not None:
        fault = source.find_callable_fault(folder, pipeline.callable)
        if fault is not None:
            yield "callable", f"the function {pipeline.callable}", fault
    if pipeline.script is not None:
        fault = source.find_script_fault(folder, pipeline.script)
        if fault is not None:
            yield "script", "a file in the tenant's folder", fault
        for key in _CALLABLE_ONLY:
            if key in pipeline.model_fields_set:
                yield key, "nothing beside a script, which reads the file by itself", "a value"
    if agreement is not None:
        yield from _beyond(pipeline, agreement)


def _beyond(pipeline: BatchPipeline, agreement: Agreement) -> Iterator[tuple[str, str, str]]:
    agreed = agreement.data_constraints.file_types
    allowed = ", ".join(agreed)
    for index, file_type in enumerate(pipeline.formats or ()):
        if file_type not in agreed:
            yield f"formats[{index}]", f"one that the agreement allows ({allowed})", str(file_type)
    accepted = pipeline.accepted_formats(agreement)
    if pipeline.xml_row is not None and FileType.XML not in accepted:
        found = f"{pipeline.xml_row!r} with {', '.join(accepted)}"
        yield "xml_row", "nothing where XML is not accepted", found
    memory, limit = pipeline.resources.memory, agreement.service_agreement.max_memory
    if memory is not None and memory.bytes > limit.bytes:
        yield "resources.memory", f"at most the agreement's max_memory of {limit}", str(memory)
