"""The only reader of YAML: a committed file becomes a value, or all that is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

import attrs
import pydantic
import yaml

from mysimbdp.agreements import faults

Model = TypeVar("Model", bound=pydantic.BaseModel)

#: Committed files are short; a longer one is not read into memory.
MAX_FILE_BYTES = 1024 * 1024
MAX_DEPTH = 20


@attrs.frozen(kw_only=True)
class Problem:
    """One thing that is wrong with a committed file, and where.

    Attributes:
        file: the file, relative to the tree.
        key: the way to the value, `service_agreement.max_memory`; empty for the whole file.

    """

    file: str
    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.key}" if self.key else self.file
        return f"{place}: expected {self.expected}, found {self.found}"


def read(kind: type[Model], path: Path, file: str) -> tuple[Model | None, Any, tuple[Problem, ...]]:
    """Read a committed file; return its value, its raw data, and every problem.

    The value is None if there is any problem. The raw data is None if it cannot be read at all.
    """
    data, unreadable = read_yaml(path, file)
    if data is None:
        return None, None, unreadable
    value, problems = validate(kind, data, file)
    return (None if unreadable else value), data, unreadable + problems


def read_yaml(path: Path, file: str) -> tuple[dict[str, Any] | None, tuple[Problem, ...]]:
    """Read the data of a YAML file, with keys as text, whatever they look like.

    A key that is given twice is a problem; the first one stays in the data, so that the rest can
    still be checked.
    """
    reading = _Reading(file)
    try:
        return reading.data_of(path), tuple(reading.problems)
    except OSError as error:
        reading.miss("a file that can be read", error.strerror or str(error))
    except yaml.MarkedYAMLError as error:
        reading.miss("well-formed YAML", f"{error.problem} in {_at(error.problem_mark)}")
    except (yaml.YAMLError, ValueError) as error:
        reading.miss("well-formed YAML in UTF-8", " ".join(str(error).split()))
    return None, tuple(reading.problems)


def validate(kind: type[Model], data: Any, file: str) -> tuple[Model | None, tuple[Problem, ...]]:
    """Build the value from raw data, or tell every problem at once.

    The JSON Schema speaks first. The model adds only what a schema cannot say, so that nothing is
    reported twice.
    """
    found = {fault.key: fault for fault in reversed([*faults.of_schema(kind, data)])}
    value = None
    try:
        value = kind.model_validate(data)
    except pydantic.ValidationError as error:
        for fault in faults.of_model(error):
            # A bad item makes the model complain about the list as well.
            if not any(key.startswith(fault.key) for key in found):
                found[fault.key] = fault
    problems = tuple(
        Problem(file=file, key=fault.key, expected=fault.expected, found=fault.found)
        for _, fault in sorted(found.items())
    )
    return (None if problems else value), problems


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain data only; a date stays the text that was written."""

    yaml_implicit_resolvers: ClassVar = {
        first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:timestamp"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class _Reading:
    """The reading of one file: its data, and the problems met on the way."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def data_of(self, path: Path) -> dict[str, Any] | None:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            self.miss(f"at most {MAX_FILE_BYTES} bytes", "more")
            return None
        self._refuse_growth(content)
        return None if self.problems else self._root(content)

    def miss(self, expected: str, found: str, place: tuple[str | int, ...] = ()) -> None:
        self.problems.append(
            Problem(file=self.file, key=faults.dotted(place), expected=expected, found=found)
        )

    def _refuse_growth(self, content: bytes) -> None:
        """Refuse what a few bytes could blow up: aliases by repetition, nesting by recursion."""
        depth = 0
        for event in yaml.parse(content, Loader=_Loader):
            if isinstance(event, yaml.AliasEvent):
                self.miss("the value itself", f"the alias *{event.anchor} in {_where(event)}")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                self.miss(f"at most {MAX_DEPTH} levels of nesting", f"more in {_where(event)}")
                return

    def _root(self, content: bytes) -> dict[str, Any] | None:
        loader = _Loader(content)
        try:
            node = loader.get_single_node()
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, (), loader)
        finally:
            loader.dispose()
        self.miss("a mapping of keys to values", "a list or a word" if node else "nothing")
        return None

    def _value(self, node: yaml.Node, place: tuple[str | int, ...], loader: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, loader)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(n, (*place, i), loader) for i, n in enumerate(node.value)]
        return loader.construct_object(node)

    def _mapping(
        self, node: yaml.MappingNode, place: tuple[str | int, ...], loader: Any
    ) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.miss("text as a key", f"a structure in {_where(key)}", place)
            elif key.value in data:
                self.miss("each key once", f"it again in {_where(key)}", (*place, key.value))
            else:
                data[key.value] = self._value(value, (*place, key.value), loader)
        return data


def _where(part: yaml.Node | yaml.Event) -> str:
    return _at(part.start_mark)


def _at(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "an unknown line"
