"""Translate the MongoDB driver's errors; nothing above the sinks knows them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pymongo.errors

from mysimbdp import errors


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the driver's errors into ours; `what` says what was tried, for whom.

    Raises:
        ServiceUnavailableError: always; data errors of single rows are not raised by the driver
            here, so whatever it raises is the server's or the network's.

    """
    try:
        yield
    except pymongo.errors.PyMongoError as error:
        code = getattr(error, "code", None)
        detail = "" if code is None else f" (code {code})"
        raise errors.ServiceUnavailableError(
            f"MongoDB did not do it: {what}{detail}: {type(error).__name__}. It is tried again; "
            "see whether coredms runs (mysimbdp status).",
            code=code,
        ) from error
