"""Load and name the tenant's code, in the child."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mysimbdp.pipelines.causes import Cause


class GivenUpError(Exception):
    """Carry a named cause to the one place that reports it."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


def load(folder: str, entry: str) -> Callable[[Any], Any]:
    """Import the function `module:function` of a tenant's folder.

    Raises:
        GivenUpError: it cannot be imported.

    """
    module_name, _, function_name = entry.partition(":")
    sys.path.insert(0, folder)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except MemoryError:
        raise
    except BaseException as error:
        raise GivenUpError(Cause.NOT_LOADABLE, describe(error, folder)) from error
    if not callable(function):
        raise GivenUpError(Cause.NOT_LOADABLE, f"{entry} is not a function")
    return function  # type: ignore[no-any-return]


def describe(error: BaseException, folder: str | None = None) -> str:
    """Say what the tenant's code raised and on which of its lines."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "mysimbdp" not in Path(frame.filename).parts[-3:-1]]
    if folder is not None:
        own = [frame for frame in own if frame.filename.startswith(folder)]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{where}"
