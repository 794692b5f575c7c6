"""Processes that the benchmark starts, watches and ends."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from bench.job import NotMeasuredError

_END_SECONDS = 30.0


class Program:
    """One process with what it started; it gets its order on standard input."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        order: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name, self._log = command[0], log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=file, stderr=file, env=environment
            )
        self.say(order)

    @property
    def pid(self) -> int:
        """Name the process."""
        return self._process.pid

    def say(self, order: bytes) -> None:
        """Write to its standard input; one that is gone is noticed by `check`."""
        with contextlib.suppress(OSError):
            self._input.write(order)
            self._input.flush()

    def check(self) -> None:
        """Check that it runs.

        Raises:
            NotMeasuredError: it ended.

        """
        if (code := self._process.poll()) is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise NotMeasuredError(f"exit code {code}: {lines[-1] if lines else 'no message'}")

    def close(self) -> None:
        """End its input, which is how it is asked to finish."""
        with contextlib.suppress(OSError):
            self._input.close()

    def stop(self, *, is_patient: bool = False) -> None:
        """End it and all that it started; a patient stop lets it finish by itself first."""
        family = _family(self.pid)
        self.close()
        if not is_patient:
            self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.kill()

    @property
    def _input(self):
        assert self._process.stdin is not None  # noqa: S101 - it was asked for
        return self._process.stdin


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []
