"""Decode single JSON values strictly: what JSON or a document cannot hold is a fault of the row."""

from __future__ import annotations

import json
import math
from typing import Any

from mysimbdp.pipelines.readers import base, scalars

#: No integer of 64 bits is written longer, sign included.
_INT64_CHARACTERS = 20


class Decoder:
    """Decode one value after the other."""

    def __init__(self, *, keep_exact_text: bool) -> None:
        self._faults: list[str] = []
        self._make_float = scalars.ExactFloat if keep_exact_text else float
        self._decode = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_int=self._integer,
            parse_float=self._number,
            parse_constant=self._constant,
        ).raw_decode

    def decode(self, text: str, start: int) -> tuple[Any, int, str | None]:
        """Decode the value that begins at `start`; give it, its end and its fault if it has one.

        Raises:
            json.JSONDecodeError: there is no complete value.

        """
        self._faults.clear()
        try:
            value, end = self._decode(text, start)
        except RecursionError as error:
            raise json.JSONDecodeError("Nested too deeply", text, start) from error
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

    def _integer(self, text: str) -> int | None:
        if len(text) <= _INT64_CHARACTERS:
            value = int(text)
            if scalars.INT64_MINIMUM <= value <= scalars.INT64_MAXIMUM:
                return value
        self._faults.append(f"expected an integer of 64 bits, found {base.shortened(text)}")
        return None

    def _number(self, text: str) -> float:
        value = self._make_float(text)
        if math.isinf(value):
            self._faults.append(f"expected a number of 64 bits, found {base.shortened(text)}")
        return value
