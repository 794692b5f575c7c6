"""Sizes, rates and durations as the committed files write them; the text is kept for messages."""

from __future__ import annotations

import abc
import re
from decimal import Decimal
from typing import Any, ClassVar, Self

import attrs
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

#: Units are binary, as in every message and bill: 0.5GB = 512MB = 536870912 bytes.
_UNIT_BYTES = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}
_SIZE = r"[0-9]{1,12}(\.[0-9]{1,6})?(B|KB|MB|GB|TB)"


@attrs.frozen
class Quantity(abc.ABC):
    """A number with a unit, above zero.

    Raises:
        ValueError: the text is not one; the message says what is expected.

    """

    EXPECTED: ClassVar[str]
    PATTERN: ClassVar[str]
    EXAMPLES: ClassVar[tuple[str, ...]]

    text: str

    def __attrs_post_init__(self) -> None:
        if re.fullmatch(self.PATTERN, self.text) is None:
            raise ValueError(self.EXPECTED)
        if self._amount() < 1:
            raise ValueError(f"{self.EXPECTED}, above zero")

    def __str__(self) -> str:
        return self.text

    @abc.abstractmethod
    def _amount(self) -> int:
        """Return the number in the unit's base: bytes, bytes a second, seconds."""

    @classmethod
    def _coerce(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError(cls.EXPECTED)  # noqa: TRY004 - pydantic reports ValueErrors only
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: type[Any], _handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._coerce, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {
            "title": cls.EXPECTED,
            "type": "string",
            "pattern": cls.PATTERN,
            "examples": list(cls.EXAMPLES),
        }


@attrs.frozen
class Size(Quantity):
    """An amount of data, such as 350MB."""

    EXPECTED: ClassVar[str] = "a size such as 350MB or 0.5GB (units B, KB, MB, GB, TB)"
    PATTERN: ClassVar[str] = f"^{_SIZE}$"
    EXAMPLES: ClassVar[tuple[str, ...]] = ("350MB", "0.5GB")

    @property
    def bytes(self) -> int:
        """Count the bytes, rounded down."""
        return _bytes(self.text)

    def _amount(self) -> int:
        return self.bytes


@attrs.frozen
class Rate(Quantity):
    """An amount of data per second, such as 5MB/s."""

    EXPECTED: ClassVar[str] = "a rate such as 5MB/s (units B/s, KB/s, MB/s, GB/s, TB/s)"
    PATTERN: ClassVar[str] = f"^{_SIZE}/s$"
    EXAMPLES: ClassVar[tuple[str, ...]] = ("5MB/s", "0.5GB/s")

    @property
    def bytes_per_second(self) -> int:
        """Count the bytes per second, rounded down."""
        return _bytes(self.text.removesuffix("/s"))

    def _amount(self) -> int:
        return self.bytes_per_second


@attrs.frozen
class Duration(Quantity):
    """A length of time, such as 30m."""

    EXPECTED: ClassVar[str] = "a duration such as 90s, 30m or 2h"
    PATTERN: ClassVar[str] = "^[0-9]{1,6}(s|m|h)$"
    EXAMPLES: ClassVar[tuple[str, ...]] = ("90s", "30m", "2h")

    @property
    def seconds(self) -> int:
        """Count the seconds."""
        return int(self.text[:-1]) * _UNIT_SECONDS[self.text[-1]]

    def _amount(self) -> int:
        return self.seconds


def _bytes(text: str) -> int:
    number = text.rstrip("BKMGT")
    return int(Decimal(number) * _UNIT_BYTES[text[len(number) :]])
