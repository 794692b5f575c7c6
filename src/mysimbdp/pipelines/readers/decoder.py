"""Decode single JSON values strictly: what JSON or a document cannot hold is a fault of the row."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from mysimbdp.pipelines.readers import base, scalars

#: Only where this is found can a number be too large for 64 bits.
_LARGE_NUMBER = re.compile(r"[0-9]{19}|[eE]\+?[0-9]{3}")


def may_hold_large_numbers(text: str) -> bool:
    """Tell whether the numbers of a text are worth a closer look; quick."""
    return _LARGE_NUMBER.search(text) is not None


class Decoder:
    """Decode one value after the other."""

    def __init__(self, *, keep_exact_text: bool) -> None:
        self._faults: list[str] = []
        self._decode = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_float=scalars.ExactFloat if keep_exact_text else None,
            parse_constant=self._constant,
        ).raw_decode

    def decode(self, text: str, start: int, *, closely: bool) -> tuple[Any, int, str | None]:
        """Decode the value that begins at `start`; give it, its end and its fault if it has one.

        Raises:
            ValueError: there is no complete value; mostly a `json.JSONDecodeError`.

        """
        self._faults.clear()
        try:
            value, end = self._decode(text, start)
        except RecursionError as error:
            raise json.JSONDecodeError("Nested too deeply", text, start) from error
        if closely:
            self._look_at_numbers(value)
        return value, end, self._faults[0] if self._faults else None

    def _object(self, pairs: list[tuple[str, Any]]) -> base.Record:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            self._faults.append(f"expected each key once, found {base.found(twice)} again")
        return fields

    def _constant(self, text: str) -> None:
        self._faults.append(f"expected a JSON number, found {text}")

    def _look_at_numbers(self, value: Any) -> None:
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                self._look_at_numbers(inner)
        elif isinstance(value, int):
            if not scalars.INT64_MINIMUM <= value <= scalars.INT64_MAXIMUM:
                self._faults.append(f"expected an integer of 64 bits, found {base.found(value)}")
        elif isinstance(value, float) and math.isinf(value):
            self._faults.append("expected a number that float64 holds, found a larger one")
