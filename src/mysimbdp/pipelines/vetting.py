"""Does a registration fit the tenant's agreement and code? Reads files, never runs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from mysimbdp import naming
from mysimbdp.agreements import load
from mysimbdp.agreements.load import Problem
from mysimbdp.agreements.model import Agreement, FileType
from mysimbdp.pipelines import source
from mysimbdp.pipelines.registration import BatchPipeline, Registration, Resources, StreamApp

Pipeline = TypeVar("Pipeline", BatchPipeline, StreamApp)
#: A key, what is expected there and what is found.
Misfit = tuple[str, str, str]

#: What the platform does for a callable; a script reads and writes by itself.
_CALLABLE_ONLY = ("batch", "columns", "missing", "xml_row")
_STREAM_CALLABLE_ONLY = (
    *("batch", "collections", "sink", "max_batch_messages", "max_reject_ratio"),
)


def read(
    path: Path, file: str, agreement: Agreement | None
) -> tuple[Registration | None, tuple[Problem, ...]]:
    """Read a tenant's `pipelines.yaml` and check it against its agreement and the code beside it.

    With no agreement, only what needs none is checked. The value is None if there is any problem.
    """
    value, data, problems = load.read(Registration, path, file)
    found = (
        *_batch_misfits(value, data, path.parent, agreement),
        *_stream_misfits(value, data, path.parent, agreement),
    )
    misfits = [
        Problem(file=file, key=key, expected=expected, found=found)
        for key, expected, found in found
    ]
    return (None if misfits else value), (*problems, *misfits)


def _batch_misfits(
    value: Registration | None, data: Any, folder: Path, agreement: Agreement | None
) -> Iterator[Misfit]:
    sound = _sound(data, "batch", BatchPipeline, {"collection": "any"})
    for subdirectory, pipeline in value.batch.items() if value else sound:
        for key, expected, found in _misfits(pipeline, folder, agreement):
            yield f"batch.{subdirectory}.{key}", expected, found


def _stream_misfits(
    value: Registration | None, data: Any, folder: Path, agreement: Agreement | None
) -> Iterator[Misfit]:
    sound = _sound(data, "streams", StreamApp, {"topics": ["any"], "collections": {"any": {}}})
    apps = dict(value.streams.items() if value else sound)
    if apps and agreement is not None and agreement.streams is None:
        yield "streams", "nothing, as the agreement has no streams", f"{', '.join(apps)}"
    topics = value.topics if value else _entries(data, "topics")
    for name, app in apps.items():
        for key, expected, found in (
            *_stream_app_misfits(app, folder, agreement),
            *_unknown_topics(app.topics if value else _given_topics(data, name), topics),
        ):
            yield f"streams.{name}.{key}", expected, found


def _given_topics(data: Any, app: str) -> Sequence[Any]:
    """Take the topics as they are written: what is checked of a broken entry has a stand-in."""
    given = _entries(data, "streams")[app].get("topics")
    return given if isinstance(given, list) else ()


def _unknown_topics(named: Sequence[Any], topics: Mapping[str, Any]) -> Iterator[Misfit]:
    for index, topic in enumerate(named):
        is_name = isinstance(topic, str) and naming.is_topic(topic)  # else it is told already
        if is_name and topic not in topics:
            yield f"topics[{index}]", "a topic that is registered under topics", topic


def _sound(
    data: Any, section: str, kind: type[Pipeline], needed: Mapping[str, Any]
) -> Iterator[tuple[str, Pipeline]]:
    """Yield what can be checked further, without the keys that are wrong already.

    So one wrong key does not hide that another one names a missing file.
    """
    for name, entry in _entries(data, section).items():
        if not isinstance(entry, dict):
            continue
        _, problems = load.validate(kind, entry, "")
        wrong = {problem.key.partition(".")[0].partition("[")[0] for problem in problems}
        kept = {key: value for key, value in entry.items() if key not in wrong}
        try:
            yield name, kind.model_validate({**needed, **kept})
        except pydantic.ValidationError:
            continue


def _entries(data: Any, section: str) -> dict[str, Any]:
    entries = data.get(section) if isinstance(data, dict) else None
    return entries if isinstance(entries, dict) else {}


def _misfits(
    pipeline: BatchPipeline, folder: Path, agreement: Agreement | None
) -> Iterator[Misfit]:
    """Yield key, what is expected and what is found."""
    yield from _code_misfits(pipeline, folder)
    if pipeline.script is not None:
        for key in _CALLABLE_ONLY:
            if key in pipeline.model_fields_set:
                yield key, "nothing beside a script, which reads the file by itself", "a value"
    if agreement is not None:
        yield from _beyond(pipeline, agreement)
        yield from _memory_misfits(pipeline.resources, agreement)


def _stream_app_misfits(
    app: StreamApp, folder: Path, agreement: Agreement | None
) -> Iterator[Misfit]:
    yield from _code_misfits(app, folder)
    for key in _STREAM_CALLABLE_ONLY if app.script is not None else ("arguments",):
        if key in app.model_fields_set:
            yield key, f"nothing beside a {'script' if app.script else 'callable'}", "a value"
    if agreement is None:
        return
    yield from _memory_misfits(app.resources, agreement)
    most = agreement.streams.max_instances if agreement.streams else app.instances
    if app.instances > most:
        yield "instances", f"at most the agreement's max_instances of {most}", f"{app.instances}"


def _code_misfits(pipeline: BatchPipeline | StreamApp, folder: Path) -> Iterator[Misfit]:
    if pipeline.callable is not None:
        fault = source.find_callable_fault(folder, pipeline.callable)
        if fault is not None:
            yield "callable", f"the function {pipeline.callable}", fault
    if pipeline.script is not None:
        fault = source.find_script_fault(folder, pipeline.script)
        if fault is not None:
            yield "script", "a file in the tenant's folder", fault


def _beyond(pipeline: BatchPipeline, agreement: Agreement) -> Iterator[Misfit]:
    agreed = agreement.data_constraints.file_types
    allowed = ", ".join(agreed)
    for index, file_type in enumerate(pipeline.formats or ()):
        if file_type not in agreed:
            yield f"formats[{index}]", f"one that the agreement allows ({allowed})", str(file_type)
    accepted = pipeline.accepted_formats(agreement)
    if pipeline.xml_row is not None and FileType.XML not in accepted:
        found = f"{pipeline.xml_row!r} with {', '.join(accepted)}"
        yield "xml_row", "nothing where XML is not accepted", found


def _memory_misfits(resources: Resources, agreement: Agreement) -> Iterator[Misfit]:
    memory, limit = resources.memory, agreement.service_agreement.max_memory
    if memory is not None and memory.bytes > limit.bytes:
        yield "resources.memory", f"at most the agreement's max_memory of {limit}", str(memory)
